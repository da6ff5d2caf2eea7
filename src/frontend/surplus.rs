//! Counts and logs connections that are closed without an answer, because of a limit or a forbidden peer.

use std::time::{Duration, Instant};

use log::Level::Warn;

use super::dispatch::Dispatch;
use crate::logging::event;

/// Shortest time between two log lines, so that a flood can't fill the log.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts closed connections and logs them from time to time.
#[derive(Debug)]
pub(super) struct Surplus {
    /// The reason in the metrics.
    reason: &'static str,
    /// The message in the log.
    words: &'static str,
    untold: u64,
    told: Option<Instant>,
}

impl Surplus {
    /// A counter at zero.
    pub fn of(reason: &'static str, words: &'static str) -> Surplus {
        Surplus { reason, words, untold: 0, told: None }
    }

    /// Counts closed connections.
    pub fn closed(&mut self, count: u64, dispatch: &dyn Dispatch, now: Instant) {
        (0..count).for_each(|_| dispatch.refused(self.reason));
        self.untold += count;
        let is_time = self.told.is_none_or(|told| now.saturating_duration_since(told) >= PAUSE);
        if self.untold > 0 && is_time {
            event(Warn, "frontend", self.words, &[("closed", &self.untold)]);
            (self.untold, self.told) = (0, Some(now));
        }
    }
}
