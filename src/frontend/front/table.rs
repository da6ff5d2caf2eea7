//! All connections of a front, each in its own slot. A slot records who holds the connection: the slot
//! itself, a thread of the front, or a worker. Events meanwhile are stored in the slot for whoever brings the
//! connection back.
//!
//! A connection's key combines its slot's index with the number of earlier uses of that slot. An event may be
//! handled after its connection is gone, and must not be attributed to the next connection in the slot.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

use super::conn::Conn;
use super::poll::Ready;
use crate::watch::Watch;

/// Slots allocated at a time.
const SEGMENT: usize = 1024;
/// Allows a million connections, more than anybody has asked for; 16 KB of pointers.
const SEGMENTS: usize = 1024;
/// Most slots; the use count is in the key in steps of this.
const SLOTS: usize = SEGMENT * SEGMENTS;
/// Keys stay below this, so that they never equal the poll's own keys.
const MAX_KEY: usize = usize::MAX >> 1;

/// See the module.
pub(super) struct Table {
    segments: Box<[OnceLock<Segment>]>,
    /// Keys for the next connections, of slots that were used before.
    free: Mutex<Vec<usize>>,
    /// How many slots were ever used.
    used: AtomicUsize,
    open: AtomicUsize,
}

/// Slots allocated together; they never move.
type Segment = Box<[Mutex<Slot>]>;

/// The slot of one connection.
#[derive(Default)]
pub(super) struct Slot {
    /// The key of the connection, or of the next one.
    pub key: usize,
    pub holder: Holder,
    /// Events while the connection was held elsewhere.
    pub missed: Ready,
    /// When the client's FIN was reported while the connection was held elsewhere.
    pub ended_since: Option<Instant>,
}

/// The holder of a connection.
#[derive(Default)]
pub(super) enum Holder {
    /// There is no connection.
    #[default]
    Nobody,
    /// The slot itself.
    Slot(Box<Conn>),
    /// A thread of the front, briefly.
    Front,
    /// A worker, with a request.
    Worker(Arc<Watch>),
    /// A worker, as a tunnel.
    Tunnel,
}

impl Table {
    /// A table without connections.
    pub fn new() -> Table {
        Table {
            segments: (0..SEGMENTS).map(|_| OnceLock::new()).collect(),
            free: Mutex::default(),
            used: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        }
    }

    /// Reserves a slot for a new connection and returns its key; `None` if all are in use. Takes locks.
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

    /// The slot of a key or an index; `None` if it was never used.
    pub fn slot(&self, key: usize) -> Option<&Mutex<Slot>> {
        let index = key % SLOTS;
        self.segments.get(index / SEGMENT)?.get()?.get(index % SEGMENT)
    }

    /// Frees the slot of a connection that is gone; a second call has no effect. Takes locks, one after the
    /// other.
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

    /// The indices of all slots that may hold a connection.
    pub fn indices(&self) -> std::ops::Range<usize> {
        0..self.used.load(Relaxed)
    }

    /// Open connections.
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
