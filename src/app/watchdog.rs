//! The service manager's watchdog (`WatchdogSec=`): this process reports regularly that it is alive, and the
//! manager ends it if no report comes for too long.
//!
//! The process counts as alive if every thread that reads from clients has completed a round since the last
//! report. Slow backends, a full queue or missing backends are no reason to end the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::App;
use crate::supervised;

/// Stack of the thread.
const STACK_BYTES: usize = 128 << 10;
/// Reports per limit. sd_watchdog_enabled(3) recommends two; four give a thread that paused for a moment
/// another chance.
const TIMES: u32 = 4;

impl App {
    /// Starts a thread that reports to the service manager at least every `limit` while this process is
    /// alive.
    ///
    /// # Errors
    /// The operating system's, if the thread can't be started.
    pub fn feed_watchdog(&self, limit: Duration) -> io::Result<()> {
        let (listeners, manager) = (self.listeners.clone(), Arc::clone(&self.manager));
        let (shutdown, is_watched) = (self.shutdown.clone(), Arc::clone(&self.is_watched));
        supervised::start("watchdog", STACK_BYTES, move || {
            let rounds = || listeners.iter().flat_map(|listener| listener.rounds()).collect::<Vec<u64>>();
            let mut last = rounds();
            while !shutdown.wait(limit / TIMES) {
                let now = rounds();
                // The successor reports from then on.
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
