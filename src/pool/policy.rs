//! What holds for all backends of a configuration, and the bell that rings when a place gets free.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::{BreakerConfig, Config};

/// Rings that may wait to be heard.
const RINGS: usize = 1024;

/// See the module.
pub struct Policy {
    /// `None` when switched off.
    pub breaker: Option<BreakerConfig>,
    /// How long a backend that came back climbs to its full weight.
    pub slow_start: Duration,
    waiting: AtomicUsize,
    bell: (Sender<()>, Receiver<()>),
}

impl Default for Policy {
    /// No breaker, no slow start.
    fn default() -> Self {
        Policy {
            breaker: None,
            slow_start: Duration::ZERO,
            waiting: AtomicUsize::new(0),
            bell: bounded(RINGS),
        }
    }
}

/// A request that waits for a place; ends when dropped.
pub struct Waiter<'a>(&'a Policy);

impl Policy {
    /// As this configuration says.
    pub fn new(config: &Config) -> Policy {
        let (breaker, slow_start) = (config.circuit_breaker.clone(), config.slow_start);
        Policy { breaker, slow_start, ..Policy::default() }
    }

    /// A place with a backend has got free.
    pub(super) fn freed(&self) {
        if self.waiting.load(SeqCst) > 0 {
            // Full means that whoever waits will look anyway.
            let _ = self.bell.0.try_send(());
        }
    }

    /// Joins those that wait for a place; `None` where `most` wait already.
    pub fn wait_in_line(&self, most: usize) -> Option<Waiter<'_>> {
        let joined =
            self.waiting.fetch_update(SeqCst, SeqCst, |waiting| (waiting < most).then_some(waiting + 1));
        joined.ok().map(|_| Waiter(self))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }
}

impl Waiter<'_> {
    /// Waits until a place may have got free, at most this long.
    pub fn wait(&self, most: Duration) {
        let _ = self.0.bell.1.recv_timeout(most);
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}
