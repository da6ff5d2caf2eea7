//! A worker's place in the pool. A worker whose answer or upload takes long leaves the pool with its request
//! and another one takes its place, so that slow clients and long streams never use the pool up. Nothing
//! moves from thread to thread: leaving is a new thread and a mark on the old one. `tests/interleavings` plays
//! thousands of orders of its steps.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use crate::sync::{Arc, Mutex, Weak};
use crate::watch::WorkerHandle;

/// A body that is still being passed on after this leaves the pool.
const LONG_ANSWER: Duration = Duration::from_secs(1);

/// The slots of all workers.
pub(super) struct Slots {
    started: Instant,
    streams: Arc<AtomicUsize>,
    max_streams: Box<dyn Fn() -> usize + Send + Sync>,
    spawn_worker: Box<dyn Fn(Arc<Slot>) -> bool + Send + Sync>,
    pub(super) all: Mutex<Vec<Arc<Slot>>>,
    /// Workers that will be free in a moment.
    finishing: AtomicUsize,
}

/// One worker's.
pub(super) struct Slot {
    slots: Weak<Slots>,
    /// Milliseconds after the start when it began to pass an answer on, or [`IDLE`], or [`LEFT`]: in one
    /// number, so that a worker can't be sent out just after its answer has ended.
    pub(super) relaying_since: AtomicU64,
    /// Microseconds after the start when it began with its request; 0 without one.
    job_since: AtomicU64,
    /// Its answer is about to end.
    is_finishing: AtomicBool,
}

/// It passes no answer on.
pub(super) const IDLE: u64 = 0;
/// It has left the pool.
const LEFT: u64 = u64::MAX;

impl Slots {
    /// `streams` counts the workers outside of the pool; `spawn_worker` starts a worker for a slot, if it can.
    pub fn new(
        streams: Arc<AtomicUsize>,
        max_streams: impl Fn() -> usize + Send + Sync + 'static,
        spawn_worker: impl Fn(Arc<Slot>) -> bool + Send + Sync + 'static,
    ) -> Arc<Slots> {
        Arc::new(Slots {
            started: Instant::now(),
            streams,
            max_streams: Box::new(max_streams),
            spawn_worker: Box::new(spawn_worker),
            all: Mutex::default(),
            finishing: AtomicUsize::new(0),
        })
    }

    /// Fills one more place; says whether that worked. Takes a lock.
    pub fn fill(self: &Arc<Self>) -> bool {
        self.spawn_worker(&mut self.all.lock()).is_some()
    }

    fn spawn_worker(self: &Arc<Self>, all: &mut Vec<Arc<Slot>>) -> Option<Arc<Slot>> {
        let slot = Arc::new(Slot {
            slots: Arc::downgrade(self),
            relaying_since: AtomicU64::new(IDLE),
            job_since: AtomicU64::new(0),
            is_finishing: AtomicBool::new(false),
        });
        let hired = (self.spawn_worker)(Arc::clone(&slot));
        hired.then(|| {
            all.push(Arc::clone(&slot));
            slot
        })
    }

    /// Workers in the pool that have had one request for so long. Takes a lock.
    pub fn held_up(&self, time: Duration) -> usize {
        let long_ago = self.microseconds().saturating_sub(time.as_micros() as u64);
        let is_held_up = |slot: &&Arc<Slot>| (1..=long_ago).contains(&slot.job_since.load(Relaxed));
        self.all.lock().iter().filter(is_held_up).count()
    }

    fn microseconds(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Workers whose answer is about to end.
    pub fn finishing(&self) -> usize {
        self.finishing.load(SeqCst)
    }

    /// Workers that are outside of the pool.
    pub fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }

    /// Sends those out of the pool that have passed an answer on for too long. Takes a lock.
    pub fn release_long_answers(&self) {
        let long_ago = self.milliseconds().saturating_sub(LONG_ANSWER.as_millis() as u64);
        let is_long = |since| (IDLE + 1..=long_ago).contains(&since);
        let relays_long = |slot: &&Arc<Slot>| is_long(slot.relaying_since.load(Relaxed));
        let long: Vec<_> = self.all.lock().iter().filter(relays_long).cloned().collect();
        for slot in long {
            if !slot.detach_if(is_long) {
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
    pub fn should_exit(self: &Arc<Self>) -> bool {
        let over = self.relaying_since.swap(IDLE, SeqCst) == LEFT;
        if let (true, Some(slots)) = (over, self.slots.upgrade()) {
            slots.streams.fetch_sub(1, SeqCst);
        }
        over
    }

    /// It begins with a request, or has none any more.
    pub fn has_job(&self, has: bool) {
        let now = self.slots.upgrade().filter(|_| has).map_or(0, |slots| slots.microseconds().max(1));
        self.job_since.store(now, Relaxed);
        if !has
            && self.is_finishing.swap(false, SeqCst)
            && let Some(slots) = self.slots.upgrade()
        {
            slots.finishing.fetch_sub(1, SeqCst);
        }
    }

    /// Whoever has left stays out.
    fn mark(&self, now: u64) {
        let _ = self.relaying_since.fetch_update(SeqCst, Relaxed, |since| (since != LEFT).then_some(now));
    }

    /// The worker leaves, if it still passes on what it passes on since a time that `may`. `false` where no
    /// other can take its place. Takes a lock, and keeps it: the other one must not leave before it is known which
    /// of the two is too many.
    pub(super) fn detach_if(&self, may: impl Fn(u64) -> bool) -> bool {
        let Some(slots) = self.slots.upgrade() else { return false };
        let mut all = slots.all.lock();
        if self.relaying_since.load(SeqCst) == LEFT {
            return true;
        }
        let most = (slots.max_streams)();
        let place = slots.streams.fetch_update(SeqCst, SeqCst, |now| (now < most).then_some(now + 1));
        if place.is_err() {
            return false;
        }
        let Some(other) = slots.spawn_worker(&mut all) else {
            slots.streams.fetch_sub(1, SeqCst);
            return false;
        };
        // Marked last: until then it may end its answer, and stays. Then the other one is too many.
        let leaves = |since| (since != LEFT && may(since)).then_some(LEFT);
        let is_out = self.relaying_since.fetch_update(SeqCst, SeqCst, leaves).is_ok();
        if !is_out {
            other.relaying_since.store(LEFT, SeqCst);
        }
        let leaver = if is_out { self } else { &*other };
        all.retain(|slot| !std::ptr::eq(&**slot, leaver));
        true
    }
}

impl WorkerHandle for Slot {
    fn relaying(&self) {
        if let Some(slots) = self.slots.upgrade() {
            let now = slots.milliseconds().max(IDLE + 1);
            self.mark(now);
        }
    }

    fn waiting(&self) {
        self.mark(IDLE);
    }

    fn finishing(&self) {
        if !self.is_finishing.swap(true, SeqCst)
            && let Some(slots) = self.slots.upgrade()
        {
            slots.finishing.fetch_add(1, SeqCst);
        }
    }

    fn has_left(&self) -> bool {
        self.relaying_since.load(Relaxed) == LEFT
    }

    fn leave(&self) -> bool {
        self.detach_if(|_| true)
    }
}
