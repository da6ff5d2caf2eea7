//! All connections of a front, each in a slot of its own. A slot says who has its connection: the slot
//! itself, a thread of the front that is just looking at it, or a worker it was lent to. What happens to it
//! meanwhile is noted for whoever brings it back.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

use super::conn::Conn;
use super::poll::Ready;
use crate::watch::Watch;

/// Slots that are made at a time.
const SEGMENT: usize = 1024;
/// More than a million connections have never been asked for; 16 KB of pointers.
const SEGMENTS: usize = 1024;

/// See the module.
pub(super) struct Table {
    segments: Box<[OnceLock<Segment>]>,
    free: Mutex<Vec<usize>>,
    /// Slots that were ever used.
    used: AtomicUsize,
    open: AtomicUsize,
}

/// Slots that were made at the same time; they never move.
type Segment = Box<[Mutex<Slot>]>;

/// One connection's.
#[derive(Default)]
pub(super) struct Slot {
    pub holder: Holder,
    /// What has become possible while the connection was away.
    pub missed: Ready,
    /// Since when its client has ended its side, while it was away.
    pub ended_since: Option<Instant>,
}

/// Who has a connection.
#[derive(Default)]
pub(super) enum Holder {
    /// There is none.
    #[default]
    Nobody,
    /// The slot.
    Slot(Box<Conn>),
    /// A thread of the front, for a moment.
    Front,
    /// A worker, with a request.
    Worker(Arc<Watch>),
    /// A worker, as a tunnel.
    Tunnel,
}

impl Table {
    /// Without connections.
    pub fn new() -> Table {
        Table {
            segments: (0..SEGMENTS).map(|_| OnceLock::new()).collect(),
            free: Mutex::default(),
            used: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        }
    }

    /// A slot for a new connection; `None` where there can be no more. Takes a lock.
    pub fn claim(&self) -> Option<usize> {
        let mut free = self.free.lock();
        let index = match free.pop() {
            Some(index) => index,
            None => {
                let index = self.used.load(Relaxed);
                let make = || (0..SEGMENT).map(|_| Mutex::default()).collect();
                self.segments.get(index / SEGMENT)?.get_or_init(make);
                self.used.store(index + 1, Relaxed);
                index
            }
        };
        self.open.fetch_add(1, Relaxed);
        Some(index)
    }

    /// A slot; `None` for a number that was never given out.
    pub fn slot(&self, index: usize) -> Option<&Mutex<Slot>> {
        self.segments.get(index / SEGMENT)?.get()?.get(index % SEGMENT)
    }

    /// The connection is gone. Takes locks, one after the other.
    pub fn forget(&self, index: usize) {
        if let Some(slot) = self.slot(index) {
            *slot.lock() = Slot::default();
        }
        self.free.lock().push(index);
        self.open.fetch_sub(1, Relaxed);
    }

    /// Slots that may have a connection.
    pub fn indices(&self) -> std::ops::Range<usize> {
        0..self.used.load(Relaxed)
    }

    /// Connections there are.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again_and_counted() {
        let table = Table::new();
        let all: Vec<_> = (0..SEGMENT + 1).map(|_| table.claim().unwrap()).collect();
        assert_eq!((all[SEGMENT], table.open()), (SEGMENT, SEGMENT + 1));
        table.forget(7);
        assert_eq!(table.open(), SEGMENT);
        assert_eq!(table.claim(), Some(7));
        assert_eq!(table.indices(), 0..SEGMENT + 1);
        assert!(table.slot(SEGMENT).is_some() && table.slot(SEGMENT * SEGMENTS).is_none());
    }
}
