//! Idle workers. The worker that parked last is woken first: its stack and buffers are still in the caches,
//! and workers that are not needed sleep on undisturbed. A channel would wake the one that has slept longest,
//! and would spin and yield before each sleep. `tests/interleavings` tries thousands of orderings of the
//! steps in this file.

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use crate::sync::thread::{self, Thread};
use crate::sync::{Arc, Mutex};

/// See the module.
#[derive(Default)]
pub(super) struct IdleWorkers {
    stack: Mutex<Vec<Arc<Parker>>>,
    count: AtomicUsize,
}

/// A worker's thread, and whether it was woken.
pub(super) struct Parker {
    sleeper: Thread,
    woken: AtomicBool,
}

impl Parker {
    /// The parker of the current thread.
    pub fn of_this_thread() -> Arc<Parker> {
        Arc::new(Parker { sleeper: thread::current(), woken: AtomicBool::new(false) })
    }
}

impl IdleWorkers {
    /// How many workers are parked.
    pub fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Parks the worker until it is woken, unless there is `work`. `work` is checked after the worker is on
    /// the list, so that no wake-up is lost. Takes a lock.
    pub fn sleep(&self, parker: &Arc<Parker>, work: impl FnOnce() -> bool) {
        parker.woken.store(false, SeqCst);
        let mut stack = self.stack.lock();
        stack.push(Arc::clone(parker));
        self.count.store(stack.len(), SeqCst);
        drop(stack);
        if work() && self.leave(parker) {
            return;
        }
        while !parker.woken.load(SeqCst) {
            thread::park();
        }
    }

    /// Removes a worker from the list; `false` if another thread is already waking it. Takes a lock.
    fn leave(&self, parker: &Arc<Parker>) -> bool {
        let mut stack = self.stack.lock();
        let place = stack.iter().rposition(|other| Arc::ptr_eq(other, parker));
        place.map(|place| stack.remove(place));
        self.count.store(stack.len(), SeqCst);
        place.is_some()
    }

    /// Wakes the worker that parked last; `false` if none is parked. Takes a lock.
    pub fn wake(&self) -> bool {
        let mut stack = self.stack.lock();
        let parker = stack.pop();
        self.count.store(stack.len(), SeqCst);
        drop(stack);
        if let Some(parker) = &parker {
            parker.woken.store(true, SeqCst);
            parker.sleeper.unpark();
        }
        parker.is_some()
    }
}
