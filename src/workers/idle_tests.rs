//! In its own file, because `tests/interleavings` includes `idle.rs`.

use crossbeam_channel::{Sender, unbounded};

use super::idle::*;
use crate::sync::{Arc, thread};

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
    // Woken after it is on the list and before it checks for work.
    idle.sleep(&Parker::of_this_thread(), || idle.wake());
    assert_eq!(idle.count(), 0);
}
