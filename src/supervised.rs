//! Threads that everything depends on. A panic in one means that the process can serve no more, or would go
//! on half dead: it says so and ends with status 1, and whoever looks after the process starts another.
//! What is a request's or a connection's alone is caught before it comes here.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;
use std::time::Duration;

use log::Level::Error;

use crate::logging::event;

/// The status of a process that can't go on.
const FAILED: i32 = 1;
/// For what it has to say.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Starts one.
///
/// # Errors
/// The operating system's, where it has no room for a thread.
pub fn start(name: &'static str, stack_bytes: usize, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            event(Error, "app", "a thread that everything depends on panicked", &[("thread", &name)]);
            // The line is written by a thread of its own.
            std::thread::park_timeout(LAST_WORDS);
            std::process::exit(FAILED);
        }
    };
    Builder::new().name(name.into()).stack_size(stack_bytes).spawn(guarded).map(drop)
}
