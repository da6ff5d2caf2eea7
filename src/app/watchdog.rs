//! The service manager's watchdog (`WatchdogSec=`): it hears that this process is alive for as long as that is so,
//! and ends it when nothing has come for too long.
//!
//! Alive is that every thread that hears clients has been round since it was said last, whatever it found there. How
//! long backends take, how full the queue is and whether a backend is there at all are no reason to end a process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::App;
use crate::supervised;

/// The stack of the thread.
const STACK_BYTES: usize = 128 << 10;
/// It is said so often before it would be too late: sd_watchdog_enabled(3) asks for half of the time, and what has
/// stood still for a moment gets another chance.
const TIMES: u32 = 4;

impl App {
    /// Lets the service manager hear that this process is alive, at least every `limit`.
    ///
    /// # Errors
    /// The operating system's, where it has no room for a thread.
    pub fn feed_watchdog(&self, limit: Duration) -> io::Result<()> {
        let (listeners, manager) = (self.listeners.clone(), Arc::clone(&self.manager));
        let (shutdown, is_watched) = (self.shutdown.clone(), Arc::clone(&self.is_watched));
        supervised::start("watchdog", STACK_BYTES, move || {
            let rounds = || listeners.iter().flat_map(|listener| listener.rounds()).collect::<Vec<u64>>();
            let mut last = rounds();
            while !shutdown.wait(limit / TIMES) {
                let now = rounds();
                // Who has taken over says it from then on.
                if !is_watched.load(Relaxed) {
                    return;
                }
                if now.iter().zip(&last).all(|(now, last)| now != last) {
                    manager.alive();
                    last = now;
                }
            }
        })
    }
}
