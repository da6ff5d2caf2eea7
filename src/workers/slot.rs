//! A worker's place in the pool. A worker whose answer takes long leaves the pool with its request and
//! another one takes its place, so that slow readers and long streams never use the pool up. Nothing
//! moves from thread to thread: leaving is a new thread and a mark on the old one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::watch::Place;

/// An answer that is still being passed on after this leaves the pool.
const LONG_ANSWER: Duration = Duration::from_secs(1);

/// The slots of all workers.
pub(super) struct Slots {
    started: Instant,
    streams: AtomicUsize,
    max_streams: Box<dyn Fn() -> usize + Send + Sync>,
    hire: Box<dyn Fn(Arc<Slot>) -> bool + Send + Sync>,
    all: Mutex<Vec<Arc<Slot>>>,
}

/// One worker's.
pub(super) struct Slot {
    slots: Weak<Slots>,
    /// Milliseconds after the start when it began to pass an answer on; 0 while it does not.
    relaying_since: AtomicU64,
    left: AtomicBool,
}

impl Slots {
    /// `hire` starts a worker for a slot, if it can.
    pub fn new(
        max_streams: impl Fn() -> usize + Send + Sync + 'static,
        hire: impl Fn(Arc<Slot>) -> bool + Send + Sync + 'static,
    ) -> Arc<Slots> {
        Arc::new(Slots {
            started: Instant::now(),
            streams: AtomicUsize::new(0),
            max_streams: Box::new(max_streams),
            hire: Box::new(hire),
            all: Mutex::default(),
        })
    }

    /// Fills one more place; says whether that worked. Takes a lock.
    pub fn fill(self: &Arc<Self>) -> bool {
        let slot = Arc::new(Slot {
            slots: Arc::downgrade(self),
            relaying_since: AtomicU64::new(0),
            left: AtomicBool::new(false),
        });
        let hired = (self.hire)(Arc::clone(&slot));
        if hired {
            self.all.lock().push(slot);
        }
        hired
    }

    /// Workers that are outside of the pool.
    pub fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }

    /// Sends those out of the pool that have passed an answer on for too long. Takes a lock.
    pub fn release_long_answers(&self) {
        let long_ago = self.milliseconds().saturating_sub(LONG_ANSWER.as_millis() as u64);
        let long: Vec<_> =
            self.all.lock().iter().filter(|slot| slot.relays_since(long_ago)).cloned().collect();
        for slot in long {
            if !slot.leave() {
                return;
            }
        }
    }

    fn milliseconds(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

impl Slot {
    /// The worker is done with a request; says whether it has left the pool and must end.
    pub fn is_over(self: &Arc<Self>) -> bool {
        self.relaying_since.store(0, Relaxed);
        let over = self.left.load(SeqCst);
        if let (true, Some(slots)) = (over, self.slots.upgrade()) {
            slots.streams.fetch_sub(1, SeqCst);
        }
        over
    }

    fn relays_since(&self, milliseconds: u64) -> bool {
        (1..=milliseconds).contains(&self.relaying_since.load(Relaxed)) && !self.left.load(Relaxed)
    }
}

impl Place for Slot {
    fn relaying(&self) {
        if let Some(slots) = self.slots.upgrade() {
            self.relaying_since.store(slots.milliseconds().max(1), Relaxed);
        }
    }

    fn leave(&self) -> bool {
        let Some(slots) = self.slots.upgrade() else { return false };
        if self.left.swap(true, SeqCst) {
            return true;
        }
        let most = (slots.max_streams)();
        let place = slots.streams.fetch_update(SeqCst, SeqCst, |now| (now < most).then_some(now + 1));
        if place.is_err() || !slots.fill() {
            if place.is_ok() {
                slots.streams.fetch_sub(1, SeqCst);
            }
            self.left.store(false, SeqCst);
            return false;
        }
        slots.all.lock().retain(|slot| !std::ptr::eq(&**slot, self));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_leave_than_may_and_each_is_replaced() {
        let hired = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&hired);
        let slots = Slots::new(|| 2, move |_| count.fetch_add(1, SeqCst) < 100);
        (0..4).for_each(|_| assert!(slots.fill()));
        let workers: Vec<_> = slots.all.lock().clone();
        assert!(workers[0].leave() && workers[0].leave() && workers[1].leave());
        assert!(!workers[2].leave(), "a third is too many");
        assert_eq!((slots.streams(), hired.load(SeqCst), slots.all.lock().len()), (2, 6, 4));
        assert!(workers[0].is_over() && !workers[2].is_over());
        assert!(workers[2].leave(), "there is room again");
    }

    #[test]
    fn only_long_answers_are_released() {
        let slots = Slots::new(|| 9, |_| true);
        (0..2).for_each(|_| assert!(slots.fill()));
        let workers: Vec<_> = slots.all.lock().clone();
        workers[0].relaying_since.store(1, Relaxed);
        workers[1].relaying();
        slots.release_long_answers();
        let before = slots.streams();
        assert!(before <= 1, "the second has only just begun");
        let deadline = Instant::now() + Duration::from_secs(20);
        while slots.streams() < 2 && Instant::now() < deadline {
            std::thread::yield_now();
            slots.release_long_answers();
        }
        assert_eq!(slots.streams(), 2);
    }
}
