//! A worker's place in the pool. A worker whose answer or upload takes long is detached with its request, and
//! another takes its place, so that slow clients and long streams never use up the pool. The request stays on
//! its thread: detaching starts a new thread and marks the old one. `tests/interleavings`
//! plays thousands of orders of its steps.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use crate::sync::{Arc, Mutex, Weak};
use crate::watch::WorkerHandle;

/// A worker that has relayed one body for this long is detached.
const LONG_ANSWER: Duration = Duration::from_secs(1);

/// The slots of all workers.
pub(super) struct Slots {
    started: Instant,
    streams: Arc<AtomicUsize>,
    max_streams: Box<dyn Fn() -> usize + Send + Sync>,
    spawn_worker: Box<dyn Fn(Arc<Slot>) -> bool + Send + Sync>,
    pub(super) all: Mutex<Vec<Arc<Slot>>>,
    /// Workers that are about to finish their request.
    finishing: AtomicUsize,
}

/// The slot of one worker.
pub(super) struct Slot {
    slots: Weak<Slots>,
    /// When the worker began to relay the current body, in milliseconds after `Slots::started`, or [`IDLE`],
    /// or [`LEFT`]. One atomic, so that a worker can't be detached just after its answer has ended.
    pub(super) relaying_since: AtomicU64,
    /// When the worker began its request, in microseconds after `Slots::started`; 0 without a request.
    job_since: AtomicU64,
    /// The worker is about to finish its request.
    is_finishing: AtomicBool,
}

/// The worker relays no body.
pub(super) const IDLE: u64 = 0;
/// The worker is detached from the pool.
const LEFT: u64 = u64::MAX;

impl Slots {
    /// `streams` counts detached workers; `spawn_worker` starts a worker for a slot and returns whether it
    /// could.
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

    /// Starts one more worker; returns whether that worked. Takes a lock.
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

    /// Workers in the pool that have had one request for at least this long. Takes a lock.
    pub fn held_up(&self, time: Duration) -> usize {
        let long_ago = self.microseconds().saturating_sub(time.as_micros() as u64);
        let is_held_up = |slot: &&Arc<Slot>| (1..=long_ago).contains(&slot.job_since.load(Relaxed));
        self.all.lock().iter().filter(is_held_up).count()
    }

    fn microseconds(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Workers that are about to finish their request.
    pub fn finishing(&self) -> usize {
        self.finishing.load(SeqCst)
    }

    /// Detached workers.
    pub fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }

    /// Detaches workers that have relayed one body for too long. Takes a lock.
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
    /// Called before each job; returns whether the worker was detached and must end.
    pub fn should_exit(self: &Arc<Self>) -> bool {
        let over = self.relaying_since.swap(IDLE, SeqCst) == LEFT;
        if let (true, Some(slots)) = (over, self.slots.upgrade()) {
            slots.streams.fetch_sub(1, SeqCst);
        }
        over
    }

    /// The worker begins or ends a request.
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

    /// Sets `relaying_since`, unless the worker is detached: that is final.
    fn mark(&self, now: u64) {
        let _ = self.relaying_since.fetch_update(SeqCst, Relaxed, |since| (since != LEFT).then_some(now));
    }

    /// Detaches the worker if `may` holds for its `relaying_since`. `false` if no other worker can take its
    /// place. Holds a lock all the while: the new worker must not be detached before it is known which of the
    /// two is surplus.
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
        // Marked last, since the worker may end its answer until then and stay. In that case the new worker
        // is the surplus one and leaves.
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
