//! Beside `slot.rs` and not in it, because `tests/interleavings` includes that file.

use std::time::{Duration, Instant};

use super::slot::*;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use crate::sync::{Arc, Mutex};
use crate::watch::WorkerHandle;

#[test]
fn no_more_leave_than_may_and_each_is_replaced() {
    let hired = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hired);
    let slots = Slots::new(Arc::default(), || 2, move |_| count.fetch_add(1, SeqCst) < 100);
    (0..4).for_each(|_| assert!(slots.fill()));
    let workers: Vec<_> = slots.all.lock().clone();
    assert!(workers[0].leave() && workers[0].leave() && workers[1].leave());
    assert!(!workers[2].leave(), "a third is too many");
    assert_eq!((slots.streams(), hired.load(SeqCst), slots.all.lock().len()), (2, 6, 4));
    assert!(workers[0].should_exit() && !workers[2].should_exit());
    assert!(workers[2].leave(), "there is room again");
}

#[test]
fn who_waits_for_its_backend_stays() {
    let slots = Slots::new(Arc::default(), || 9, |_| true);
    assert!(slots.fill());
    let worker = Arc::clone(&slots.all.lock()[0]);
    worker.relaying_since.store(1, Relaxed);
    worker.waiting();
    worker.detach_if(|since| since != IDLE);
    assert!(!worker.should_exit(), "its body has come in time");
    assert!(worker.leave());
    worker.waiting();
    assert!(worker.should_exit(), "once out is out");
}

#[test]
fn who_has_had_one_request_for_long_is_held_up() {
    let slots = Slots::new(Arc::default(), || 9, |_| true);
    (0..2).for_each(|_| assert!(slots.fill()));
    let workers: Vec<_> = slots.all.lock().clone();
    workers[0].has_job(true);
    workers[1].has_job(true);
    workers[1].has_job(false);
    assert_eq!(slots.held_up(Duration::from_secs(60)), 0);
    while slots.held_up(Duration::from_micros(10)) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(slots.held_up(Duration::ZERO), 1);
}

#[test]
fn only_long_answers_are_released() {
    let slots = Slots::new(Arc::default(), || 9, |_| true);
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

#[test]
fn a_worker_whose_answer_ends_just_then_is_not_lost() {
    let ending: Arc<Mutex<Option<Arc<Slot>>>> = Arc::default();
    // Nobody may leave, and there is room.
    for most in [0, 9] {
        let ending_now = Arc::clone(&ending);
        let limit = move || {
            let worker = ending_now.lock().take();
            assert!(worker.is_none_or(|worker| !worker.should_exit()), "it is neither out nor replaced");
            most
        };
        let hired = Arc::new(Mutex::new(Vec::new()));
        let all_hired = Arc::clone(&hired);
        let slots = Slots::new(Arc::default(), limit, move |slot| {
            all_hired.lock().push(slot);
            true
        });
        assert!(slots.fill());
        let worker = Arc::clone(&slots.all.lock()[0]);
        worker.relaying();
        *ending.lock() = Some(Arc::clone(&worker));
        worker.detach_if(|since| since != IDLE);
        let over = hired.lock().iter().filter(|slot| slot.should_exit()).count();
        assert_eq!((over, slots.streams(), slots.all.lock().len()), (hired.lock().len() - 1, 0, 1));
        assert!(!worker.should_exit());
    }
}
