//! All connections of a front, each in a slot of its own. A slot says who has its connection: the slot
//! itself, a thread of the front that is just looking at it, or a worker it was lent to. What happens to it
//! meanwhile is noted for whoever brings it back.
//!
//! A connection's key is its slot and how often that was used before: what the system tells of a connection
//! may be looked at after it has gone, and must not be taken for news of the next one in its slot.

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
/// Slots there can be; a key counts a slot's uses in steps of this.
const SLOTS: usize = SEGMENT * SEGMENTS;
/// A slot's uses are counted up to this, so that no key is one of the poll's own.
const MAX_KEY: usize = usize::MAX >> 1;

/// See the module.
pub(super) struct Table {
    segments: Box<[OnceLock<Segment>]>,
    /// Keys for the next connections.
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
    /// The connection's.
    pub key: usize,
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

    /// A key and a slot for a new connection; `None` where there can be no more. Takes locks.
    pub fn claim(&self) -> Option<usize> {
        let mut free = self.free.lock();
        let key = match free.pop() {
            Some(key) => key,
            None => {
                let index = self.used.load(Relaxed);
                let make = || (0..SEGMENT).map(|_| Mutex::default()).collect();
                self.segments.get(index / SEGMENT)?.get_or_init(make);
                self.used.store(index + 1, Relaxed);
                index
            }
        };
        self.open.fetch_add(1, Relaxed);
        self.slot(key)?.lock().key = key;
        Some(key)
    }

    /// The slot of a key or a number; `None` for one that was never given out.
    pub fn slot(&self, key: usize) -> Option<&Mutex<Slot>> {
        let index = key % SLOTS;
        self.segments.get(index / SEGMENT)?.get()?.get(index % SEGMENT)
    }

    /// The connection is gone; said twice it does no harm. Takes locks, one after the other.
    pub fn forget(&self, key: usize) {
        let next = key.checked_add(SLOTS).filter(|next| *next < MAX_KEY).unwrap_or(key % SLOTS);
        let Some(slot) = self.slot(key) else { return };
        let mut slot = slot.lock();
        if slot.key != key {
            return;
        }
        *slot = Slot { key: next, ..Slot::default() };
        drop(slot);
        self.free.lock().push(next);
        self.open.fetch_sub(1, Relaxed);
    }

    /// Numbers of slots that may have a connection.
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
        table.forget(7);
        assert_eq!(table.open(), SEGMENT);
        let again = table.claim().unwrap();
        assert_eq!(again % SLOTS, 7);
        assert_ne!(again, 7, "it is another connection");
        assert_eq!(table.slot(7).unwrap().lock().key, again);
        assert_eq!(table.indices(), 0..SEGMENT + 1);
        assert!(table.slot(SEGMENT).is_some() && table.slot(2 * SEGMENT).is_none());
    }
}
