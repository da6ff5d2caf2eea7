//! Connections that are closed without a word to the client, because they are one too many or a stranger's: so
//! others must be told.

use std::time::{Duration, Instant};

use log::Level::Warn;

use super::dispatch::Dispatch;
use crate::logging::event;

/// Between two lines of the log: a flood must not fill it.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts them and says so now and then.
#[derive(Debug)]
pub(super) struct Surplus {
    /// The word of the metrics.
    reason: &'static str,
    /// The words of the log.
    words: &'static str,
    untold: u64,
    told: Option<Instant>,
}

impl Surplus {
    /// None yet.
    pub fn of(reason: &'static str, words: &'static str) -> Surplus {
        Surplus { reason, words, untold: 0, told: None }
    }

    /// So many were closed.
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
