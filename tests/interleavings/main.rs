//! Where threads meet without a lock around everything: thousands of orders of their steps are played, by shuttle. The files of
//! the product are included here and built on shuttle's atomics, locks and threads. (loom takes sequentially consistent
//! accesses for weaker ones, and `idle` depends on them.)

#![allow(clippy::unwrap_used)]

#[path = "../../src/pool/flagged.rs"]
mod flagged;
#[path = "../../src/workers/idle.rs"]
#[allow(dead_code, reason = "what only the product calls")]
mod idle;
mod pool;
#[path = "../../src/workers/slot.rs"]
#[allow(dead_code, reason = "what only the product calls")]
mod slot;
mod sync;
#[path = "../../src/watch.rs"]
#[allow(dead_code, reason = "what only the product calls")]
mod watch;

use flagged::Flagged;
use idle::{IdleWorkers, Parker};
use sync::atomic::{AtomicBool, Ordering::SeqCst};
use sync::{Arc, thread};

/// At random, and with few changes of thread at the worst places. A failure prints its order, for `shuttle::replay`.
fn many_orders(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), 3_000);
    shuttle::check_pct(model, 3_000, 3);
}

/// Work comes just when a worker lies down: it is seen, or the worker is woken; nobody sleeps beside it.
#[test]
fn work_is_never_left_beside_a_sleeping_worker() {
    many_orders(|| {
        let (idle, work) = (Arc::new(IdleWorkers::default()), Arc::new(AtomicBool::new(false)));
        let (its_idle, its_work) = (Arc::clone(&idle), Arc::clone(&work));
        let worker = thread::spawn(move || {
            let parker = Parker::of_this_thread();
            while !its_work.load(SeqCst) {
                its_idle.sleep(&parker, || its_work.load(SeqCst));
            }
        });
        work.store(true, SeqCst);
        if idle.count() > 0 {
            idle.wake();
        }
        worker.join().unwrap();
        assert_eq!(idle.count(), 0);
    });
}

/// Two wake at once: one of the calls gets the worker up, and the other says that nobody slept.
#[test]
fn a_wake_up_is_for_one_worker_and_none_is_lost() {
    many_orders(|| {
        let idle = Arc::new(IdleWorkers::default());
        let parker = Parker::of_this_thread();
        let wakers = [0, 1].map(|_| {
            let idle = Arc::clone(&idle);
            move || idle.wake()
        });
        // Both begin when the worker is on the list.
        let mut calls = Vec::new();
        idle.sleep(&parker, || {
            calls = wakers.map(thread::spawn).into();
            false
        });
        let woken = calls.into_iter().map(|call| call.join().unwrap());
        assert_eq!(woken.filter(|woken| *woken).count(), 1);
        assert_eq!(idle.count(), 0);
    });
}

/// A failure is recorded while somebody resets: the flag says what the value is, whoever was last.
#[test]
fn a_flag_belongs_to_its_value() {
    many_orders(|| {
        let failures: Arc<Flagged<u32>> = Arc::default();
        let its_failures = Arc::clone(&failures);
        let is_clean = |failures: &u32| *failures == 0;
        failures.change(|it| *it = 1, is_clean);
        let records = thread::spawn(move || its_failures.change(|it| *it += 1, is_clean));
        failures.change(|it| *it = 0, is_clean);
        records.join().unwrap();
        assert_eq!(failures.is_clean(), *failures.lock() == 0);
    });
}
