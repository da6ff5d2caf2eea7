//! Waiting for what has to happen, with one patience for all of it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take on a machine at rest.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is to happen at once, on the same machine.
const SOON: Duration = Duration::from_secs(3);
/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest wait: ten seconds times `LB_TEST_PATIENCE`.
pub fn patience() -> Duration {
    with_room(PATIENCE)
}

/// "At once", and "within a second": three times `LB_TEST_PATIENCE`.
pub fn soon() -> Duration {
    with_room(SOON)
}

/// The most that something may take which takes less than this on a machine at rest: that, times
/// `LB_TEST_PATIENCE`.
pub fn with_room(time: Duration) -> Duration {
    let factor = std::env::var("LB_TEST_PATIENCE").ok().and_then(|text| text.parse().ok());
    time.mul_f64(factor.unwrap_or(1.0))
}

/// Polls until the condition holds and returns what it yields; panics once the patience is up.
#[track_caller]
pub fn eventually<C: Condition>(what: &str, mut condition: impl FnMut() -> C) -> C::Yield {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(found) = condition().held() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {:?} in vain: {what}", patience());
        thread::park_timeout(PAUSE);
    }
}

/// Says that this test is skipped, and why; past the test harness, which keeps what passing tests print.
pub fn skip(why: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes());
}

/// Lets this time pass, where time itself is what a test is about: a limit that has to run out, a rate
/// that has to recover. Never to wait for something else.
pub fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    // A parked thread may wake up early.
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

/// Tells threads to end, even where the test panics: a scope waits for them.
#[derive(Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Whether it is time.
    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Sets it at the end of the block.
    pub fn at_the_end(&self) -> impl Drop + '_ {
        struct AtTheEnd<'a>(&'a Stop);
        impl Drop for AtTheEnd<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, Relaxed);
            }
        }
        AtTheEnd(self)
    }
}

/// What [`eventually`] waits for: a `true` or a `Some`.
pub trait Condition {
    /// What comes of it.
    type Yield;
    /// `Some` once it holds.
    fn held(self) -> Option<Self::Yield>;
}

impl Condition for bool {
    type Yield = ();
    fn held(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Condition for Option<T> {
    type Yield = T;
    fn held(self) -> Option<T> {
        self
    }
}
