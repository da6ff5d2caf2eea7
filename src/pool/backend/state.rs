//! How a backend is: what probes and people say of it, and its climb after it has come back.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use super::Backend;
use crate::pool::admin::AdminState;
use crate::pool::balancer::FULL_SHARE;
use crate::pool::health::{Flip, Thresholds};

impl Backend {
    /// What people have asked of it.
    pub fn admin(&self) -> AdminState {
        AdminState::from_u8(self.kept.admin.load(Relaxed))
    }

    /// See [`Backend::admin`]. One that may take requests again climbs, if that is asked for. Takes locks,
    /// one after the other, where that changes its state.
    pub fn set_admin(&self, state: AdminState, now: Instant) {
        let (before, was) = (self.state(), self.admin());
        self.kept.admin.store(state as u8, Relaxed);
        self.note_change(before, now);
        if state == AdminState::Enabled && was != state {
            self.begin_climb(now);
        }
    }

    /// Whether it may take a request as far as probes and people are concerned. With
    /// [`Backend::breaker_admits`] and [`Backend::has_room`] the facts that [`crate::pool::Pool::lease`]
    /// combines.
    pub fn is_usable(&self) -> bool {
        self.is_healthy() && self.admin() == AdminState::Enabled && self.weight() > 0
    }

    /// Whether it has fewer requests than it may have.
    pub fn has_room(&self) -> bool {
        self.max_connections().is_none_or(|most| self.active() < most)
    }

    /// Whether it could take a request now, by all four facts.
    pub fn available(&self, now: Instant) -> bool {
        self.is_usable() && self.has_room() && self.breaker_admits(now)
    }

    /// The verdict of the probes.
    pub fn is_healthy(&self) -> bool {
        self.kept.healthy.load(Relaxed)
    }

    /// What people are told.
    pub fn state(&self) -> &'static str {
        match self.admin() {
            AdminState::Draining => "draining",
            AdminState::Disabled => "disabled",
            AdminState::Enabled if self.is_healthy() => "healthy",
            AdminState::Enabled => "unhealthy",
        }
    }

    /// Since when it is in that state; `None` when it always was. Takes a lock.
    pub fn changed(&self) -> Option<Instant> {
        *self.kept.changed.lock()
    }

    fn note_change(&self, before: &str, now: Instant) {
        if self.state() != before {
            *self.kept.changed.lock() = Some(now);
        }
    }

    /// The weight that algorithms see, in parts of [`FULL_SHARE`]: while it climbs after it has come
    /// back, a part of it. Takes a lock only then.
    pub fn share(&self, slow_start: Duration, now: Instant) -> u32 {
        let full = self.weight().saturating_mul(FULL_SHARE);
        if !self.kept.is_climbing.load(Relaxed) || slow_start.is_zero() {
            return full;
        }
        let mut since = self.kept.back_since.lock();
        let Some(climbed) = since.map(|since| now.saturating_duration_since(since)) else { return full };
        if climbed >= slow_start {
            *since = None;
            self.kept.is_climbing.store(false, Relaxed);
            return full;
        }
        ((f64::from(full) * climbed.as_secs_f64() / slow_start.as_secs_f64()) as u32).max(1)
    }

    /// Takes a probe's result in; says when the verdict changed. A backend that the probes have found
    /// healthy again begins anew: its breaker closes, and it climbs if that is asked for. Takes locks,
    /// one after the other.
    pub fn observe_probe(
        &self,
        problem: Option<&str>,
        thresholds: &Thresholds,
        at: SystemTime,
        now: Instant,
    ) -> Option<Flip> {
        *self.kept.last_checked.lock() = Some(at);
        if let Some(problem) = problem {
            problem.clone_into(&mut self.kept.last_problem.lock());
        }
        let before = self.state();
        let flip = {
            let mut health = self.kept.health.lock();
            let flip = health.observe(problem.is_none(), thresholds);
            self.kept.healthy.store(health.is_healthy(), Relaxed);
            flip
        };
        self.note_change(before, now);
        if flip == Some(Flip::ToHealthy) {
            self.reset_breaker();
            self.begin_climb(now);
        }
        flip
    }

    /// From now on it climbs to its full weight. Takes a lock.
    pub fn begin_climb(&self, now: Instant) {
        *self.kept.back_since.lock() = Some(now);
        self.kept.is_climbing.store(true, Relaxed);
    }

    /// Probes that have failed in a row. Takes a lock.
    pub fn failed_probes(&self) -> u32 {
        self.kept.health.lock().failed()
    }

    /// When the last probe ended. Takes a lock.
    pub fn last_checked(&self) -> Option<SystemTime> {
        *self.kept.last_checked.lock()
    }

    /// What the last failed probe said. Takes a lock.
    pub fn last_problem(&self) -> String {
        self.kept.last_problem.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::backend::tests::backends;

    #[test]
    fn a_state_is_timed_from_its_last_change() {
        let backend = &backends(1)[0];
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let thresholds = Thresholds { healthy: 1, unhealthy: 1 };
        let probe = |problem, seconds| {
            backend.observe_probe(problem, &thresholds, SystemTime::UNIX_EPOCH, after(seconds));
            backend.changed()
        };
        assert_eq!(probe(None, 1), None);
        assert_eq!(probe(Some("down"), 2), Some(after(2)));
        assert_eq!(probe(Some("down"), 3), Some(after(2)));
        backend.set_admin(AdminState::Draining, after(4));
        assert_eq!(probe(None, 5), Some(after(4)), "it is draining all the same");
        backend.set_admin(AdminState::Enabled, after(6));
        assert_eq!(backend.changed(), Some(after(6)));
    }

    #[test]
    fn one_that_is_enabled_again_climbs_and_one_that_always_was_does_not() {
        let backend = &backends(1)[0];
        let start = Instant::now();
        let share = |seconds| backend.share(Duration::from_secs(10), start + Duration::from_secs(seconds));
        backend.set_admin(AdminState::Enabled, start);
        assert_eq!(share(1), FULL_SHARE);
        backend.set_admin(AdminState::Draining, start);
        backend.set_admin(AdminState::Enabled, start);
        assert_eq!((share(1), share(5)), (FULL_SHARE / 10, FULL_SHARE / 2));
        assert_eq!(share(10), FULL_SHARE);
    }
}
