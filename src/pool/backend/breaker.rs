//! A backend's circuit breaker. While the breaker is clean, which is nearly always, the lock is not taken.

use std::time::{Duration, Instant};

use super::core::Backend;
use crate::config::BreakerConfig;
use crate::pool::breaker::{Breaker, BreakerState, Generation};

impl Backend {
    /// Whether the breaker lets a request pass. Takes a lock unless the breaker is clean.
    pub fn breaker_admits(&self, now: Instant) -> bool {
        self.kept.breaker.is_clean() || self.kept.breaker.lock().admits(now)
    }

    /// The breaker's state. Takes a lock.
    pub fn breaker_state(&self) -> BreakerState {
        self.kept.breaker.lock().state()
    }

    /// The time until an open breaker admits a trial. Takes a lock.
    pub fn breaker_opens_in(&self, now: Instant) -> Option<Duration> {
        self.kept.breaker.lock().opens_until().map(|until| until.saturating_duration_since(now))
    }

    /// Closes the breaker from any state, and forgets its failures. Takes a lock.
    pub fn reset_breaker(&self) {
        self.kept.breaker.change(Breaker::reset, Breaker::is_clean);
    }

    /// Claims the right to send a request; `None` if the breaker does not admit it. Takes a lock.
    pub(in crate::pool) fn claim_breaker(&self, now: Instant) -> Option<Generation> {
        self.kept.breaker.lock().claim(now)
    }

    pub(in crate::pool) fn breaker_is_clean(&self) -> bool {
        self.kept.breaker.is_clean()
    }

    /// Records a result, and returns the breaker's new state if it has changed. Closing the breaker begins
    /// the slow start. Takes locks, one after the other.
    pub(in crate::pool) fn tell_breaker(
        &self,
        claimed: Generation,
        passed: bool,
        config: &BreakerConfig,
        now: Instant,
    ) -> Option<BreakerState> {
        let record = |breaker: &mut Breaker| breaker.record(claimed, passed, config, now);
        let change = self.kept.breaker.change(record, Breaker::is_clean);
        if change == Some(BreakerState::Closed) {
            self.begin_ramp(now);
        }
        change
    }

    pub(in crate::pool) fn abandon_breaker(&self, claimed: Generation, now: Instant) {
        self.kept.breaker.lock().abandon(claimed, now);
    }
}
