//! Workers that have nothing to do. The one that went idle last is woken first: its stack and buffers
//! are still in the caches, and those that are not needed sleep on undisturbed. A channel would wake
//! the one that has slept longest, and spin and yield before each sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};

use parking_lot::Mutex;

/// See the module.
#[derive(Default)]
pub(super) struct IdleWorkers {
    stack: Mutex<Vec<Arc<Parker>>>,
    count: AtomicUsize,
}

/// One worker's thread, and whether it was woken.
pub(super) struct Parker {
    sleeper: Thread,
    woken: AtomicBool,
}

impl Parker {
    /// The current thread's.
    pub fn of_this_thread() -> Arc<Parker> {
        Arc::new(Parker { sleeper: thread::current(), woken: AtomicBool::new(false) })
    }
}

impl IdleWorkers {
    /// How many workers are parked.
    pub fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Parks the worker until it is woken, unless there is `work`. That is asked after the worker is on the
    /// list, so that no wake-up is lost. Takes a lock.
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

    /// Takes a worker off the list; `false` where another thread is waking it already. Takes a lock.
    fn leave(&self, parker: &Arc<Parker>) -> bool {
        let mut stack = self.stack.lock();
        let place = stack.iter().rposition(|other| Arc::ptr_eq(other, parker));
        place.map(|place| stack.remove(place));
        self.count.store(stack.len(), SeqCst);
        place.is_some()
    }

    /// Wakes the worker that fell asleep last; `false` where none sleeps. Takes a lock.
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

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Sender, unbounded};

    use super::*;

    fn sleeper(idle: &Arc<IdleWorkers>, woken: Sender<usize>, number: usize) {
        let idle = Arc::clone(idle);
        thread::spawn(move || {
            idle.sleep(&Parker::of_this_thread(), || false);
            let _ = woken.send(number);
        });
    }

    fn wait_for(idle: &IdleWorkers, count: usize) {
        while idle.count() != count {
            thread::yield_now();
        }
    }

    #[test]
    fn the_last_to_fall_asleep_is_woken_first() {
        let idle = Arc::new(IdleWorkers::default());
        let (sender, woken) = unbounded();
        for number in 0..3 {
            sleeper(&idle, sender.clone(), number);
            wait_for(&idle, number + 1);
        }
        for number in [2, 1, 0] {
            assert!(idle.wake());
            assert_eq!(woken.recv().unwrap(), number);
        }
        assert!(!idle.wake());
    }

    #[test]
    fn work_that_came_meanwhile_keeps_a_worker_up() {
        let idle = IdleWorkers::default();
        idle.sleep(&Parker::of_this_thread(), || true);
        assert_eq!(idle.count(), 0);
    }

    #[test]
    fn a_worker_that_is_just_being_woken_is_not_lost() {
        let idle = IdleWorkers::default();
        // Woken between lying down and looking for work.
        idle.sleep(&Parker::of_this_thread(), || idle.wake());
        assert_eq!(idle.count(), 0);
    }
}
