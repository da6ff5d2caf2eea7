//! Threads that the whole process depends on. After a panic in one the process could not serve, or only in
//! part, so it logs the panic and exits with status 1 for its supervisor to start another. Panics in a single
//! request or connection are caught before they get here.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;
use std::time::Duration;

use log::Level::Error;

use crate::logging::event;

/// The exit status after a panic.
const FAILED: i32 = 1;
/// Time for the log line to be written.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Starts such a thread.
///
/// # Errors
/// The operating system's, if it can't start a thread.
pub fn start(name: &'static str, stack_bytes: usize, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            event(Error, "app", "a thread that everything depends on panicked", &[("thread", &name)]);
            // The log line is written by another thread.
            std::thread::park_timeout(LAST_WORDS);
            std::process::exit(FAILED);
        }
    };
    Builder::new().name(name.into()).stack_size(stack_bytes).spawn(guarded).map(drop)
}
