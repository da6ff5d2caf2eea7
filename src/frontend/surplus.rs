//! Connections that were one too many are closed without a word to the client, so others must be told.

use std::time::{Duration, Instant};

use log::Level::Warn;

use super::sink::Sink;
use crate::logging::event;

/// Between two lines of the log: a flood must not fill it.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts them and says so now and then.
#[derive(Debug, Default)]
pub(super) struct Surplus {
    untold: u64,
    told: Option<Instant>,
}

impl Surplus {
    /// So many were closed.
    pub fn closed(&mut self, count: u64, sink: &dyn Sink, now: Instant) {
        (0..count).for_each(|_| sink.refused("too_many_connections"));
        self.untold += count;
        let is_time = self.told.is_none_or(|told| now.saturating_duration_since(told) >= PAUSE);
        if self.untold > 0 && is_time {
            event(Warn, "frontend", "closed connections over their limit", &[("closed", &self.untold)]);
            *self = Surplus { untold: 0, told: Some(now) };
        }
    }
}
