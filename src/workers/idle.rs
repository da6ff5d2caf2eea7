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
    stack: Mutex<Vec<Arc<Bed>>>,
    count: AtomicUsize,
}

/// Where one worker sleeps.
pub(super) struct Bed {
    sleeper: Thread,
    woken: AtomicBool,
}

impl Bed {
    /// The current thread's.
    pub fn of_this_thread() -> Arc<Bed> {
        Arc::new(Bed { sleeper: thread::current(), woken: AtomicBool::new(false) })
    }
}

impl IdleWorkers {
    /// How many sleep.
    pub fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Sleeps until woken, unless there is `work`, which is asked after whoever brings some can see that
    /// this worker sleeps. Takes a lock.
    pub fn sleep(&self, bed: &Arc<Bed>, work: impl FnOnce() -> bool) {
        bed.woken.store(false, SeqCst);
        let mut stack = self.stack.lock();
        stack.push(Arc::clone(bed));
        self.count.store(stack.len(), SeqCst);
        drop(stack);
        if work() && self.leave(bed) {
            return;
        }
        while !bed.woken.load(SeqCst) {
            thread::park();
        }
    }

    /// Gets up without having been woken; `false` where somebody is just waking this worker. Takes a lock.
    fn leave(&self, bed: &Arc<Bed>) -> bool {
        let mut stack = self.stack.lock();
        let place = stack.iter().rposition(|other| Arc::ptr_eq(other, bed));
        place.map(|place| stack.remove(place));
        self.count.store(stack.len(), SeqCst);
        place.is_some()
    }

    /// Wakes the worker that fell asleep last; `false` where none sleeps. Takes a lock.
    pub fn wake(&self) -> bool {
        let mut stack = self.stack.lock();
        let bed = stack.pop();
        self.count.store(stack.len(), SeqCst);
        drop(stack);
        if let Some(bed) = &bed {
            bed.woken.store(true, SeqCst);
            bed.sleeper.unpark();
        }
        bed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Sender, unbounded};

    use super::*;

    fn sleeper(idle: &Arc<IdleWorkers>, woken: Sender<usize>, number: usize) {
        let idle = Arc::clone(idle);
        thread::spawn(move || {
            idle.sleep(&Bed::of_this_thread(), || false);
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
        idle.sleep(&Bed::of_this_thread(), || true);
        assert_eq!(idle.count(), 0);
    }

    #[test]
    fn a_worker_that_is_just_being_woken_is_not_lost() {
        let idle = IdleWorkers::default();
        // Woken between lying down and looking for work.
        idle.sleep(&Bed::of_this_thread(), || idle.wake());
        assert_eq!(idle.count(), 0);
    }
}
