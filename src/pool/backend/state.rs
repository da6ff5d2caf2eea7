//! The state of a backend: the results of its probes, its admin state, and its slow start.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use super::core::Backend;
use super::trouble::{Observed, Trouble};
use crate::pool::admin::AdminState;
use crate::pool::health::{Flip, HealthTracker, Thresholds};
use crate::pool::problem::Problem;

/// The share of a backend with weight 1 outside slow start.
pub const FULL_SHARE: u32 = 256;

impl Backend {
    /// The admin state.
    pub fn admin(&self) -> AdminState {
        AdminState::from_u8(self.kept.admin.load(Relaxed))
    }

    /// Sets the admin state. Enabling a backend begins its slow start. Takes locks, one after the other, if
    /// that changes the state.
    pub fn set_admin(&self, state: AdminState, now: Instant) {
        let (before, was) = (self.state(), self.admin());
        self.kept.admin.store(state as u8, Relaxed);
        self.note_change(before, now);
        if state == AdminState::Enabled && was != state {
            self.begin_ramp(now);
        }
    }

    /// Whether health, admin state and weight allow requests. [`crate::pool::Pool::lease`] combines this with
    /// [`Backend::breaker_admits`] and [`Backend::has_room`].
    pub fn is_usable(&self) -> bool {
        self.is_healthy() && self.admin() == AdminState::Enabled && self.weight() > 0
    }

    /// Whether this backend has joined others and has not passed a probe yet; until then it serves only if no
    /// other backend can.
    pub fn is_newcomer(&self) -> bool {
        self.kept.is_newcomer.load(Relaxed)
    }

    /// Marks this backend as a newcomer among others that serve.
    pub fn joins(&self) {
        self.kept.is_newcomer.store(true, Relaxed);
    }

    /// Whether it has fewer requests than `max_connections`.
    pub fn has_room(&self) -> bool {
        self.max_connections().is_none_or(|most| self.active() < most)
    }

    /// Whether the probes find it healthy.
    pub fn is_healthy(&self) -> bool {
        self.kept.healthy.load(Relaxed)
    }

    /// The state as shown in outputs.
    pub fn state(&self) -> &'static str {
        match self.admin() {
            AdminState::Draining => "draining",
            AdminState::Disabled => "disabled",
            AdminState::Enabled if self.is_healthy() => "healthy",
            AdminState::Enabled => "unhealthy",
        }
    }

    /// When the state last changed; `None` if it never did. Takes a lock.
    pub fn changed(&self) -> Option<Instant> {
        *self.kept.changed.lock()
    }

    fn note_change(&self, before: &str, now: Instant) {
        if self.state() != before {
            *self.kept.changed.lock() = Some(now);
        }
    }

    /// The weight that algorithms see, in units of 1/[`FULL_SHARE`]; reduced during the slow start. Takes a
    /// lock only then.
    pub fn share(&self, slow_start: Duration, now: Instant) -> u32 {
        let full = self.weight().saturating_mul(FULL_SHARE);
        if !self.kept.is_ramping.load(Relaxed) || slow_start.is_zero() {
            return full;
        }
        let mut since = self.kept.back_since.lock();
        let Some(climbed) = since.map(|since| now.saturating_duration_since(since)) else { return full };
        if climbed >= slow_start {
            *since = None;
            self.kept.is_ramping.store(false, Relaxed);
            return full;
        }
        ((f64::from(full) * climbed.as_secs_f64() / slow_start.as_secs_f64()) as u32).max(1)
    }

    /// Notes a probe's result; returns whether the health has changed or a failing backend has a new cause.
    /// Becoming healthy closes the breaker and begins the slow start. Takes locks, one after the other.
    pub fn observe_probe(
        &self,
        problem: Option<&Problem>,
        thresholds: &Thresholds,
        at: SystemTime,
        now: Instant,
    ) -> Observed {
        *self.kept.last_checked.lock() = Some(at);
        if problem.is_none() {
            self.kept.is_newcomer.store(false, Relaxed);
        }
        let is_another = problem.is_some_and(|problem| self.note_trouble(problem, at));
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
            self.begin_ramp(now);
        }
        if self.is_healthy() && problem.is_none() {
            *self.kept.trouble.lock() = None;
        }
        Observed { flip, has_another_cause: is_another && flip.is_none() && !self.is_healthy() }
    }

    /// Resets the health because the backend is no longer probed: it counts as healthy. Takes locks, one
    /// after the other, if it was probed before.
    pub fn is_probed_no_more(&self, now: Instant) {
        self.kept.is_newcomer.store(false, Relaxed);
        if self.kept.last_checked.lock().take().is_none() {
            return;
        }
        let before = self.state();
        *self.kept.health.lock() = HealthTracker::default();
        self.kept.healthy.store(true, Relaxed);
        *self.kept.trouble.lock() = None;
        self.note_change(before, now);
    }

    /// Stores the problem if it differs from the last one; returns whether it does.
    fn note_trouble(&self, problem: &Problem, at: SystemTime) -> bool {
        let mut trouble = self.kept.trouble.lock();
        let is_another = trouble.as_ref().is_none_or(|known| known.problem != *problem);
        if is_another {
            *trouble = Some(Trouble { problem: problem.clone(), since: at });
        }
        is_another
    }

    /// Begins the slow start: the weight grows to the full one. Takes a lock.
    pub fn begin_ramp(&self, now: Instant) {
        *self.kept.back_since.lock() = Some(now);
        self.kept.is_ramping.store(true, Relaxed);
    }

    /// Probes that have failed in a row. Takes a lock.
    pub fn failed_probes(&self) -> u32 {
        self.kept.health.lock().failed()
    }

    /// When the last probe ended. Takes a lock.
    pub fn last_checked(&self) -> Option<SystemTime> {
        *self.kept.last_checked.lock()
    }

    /// Why it is unhealthy; `None` while it is healthy. Takes a lock.
    pub fn trouble(&self) -> Option<Trouble> {
        self.kept.trouble.lock().clone().filter(|_| !self.is_healthy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::ProblemKind;
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
        let down = Problem::new(ProblemKind::Unreachable, "down");
        assert_eq!(probe(Some(&down), 2), Some(after(2)));
        assert_eq!(probe(Some(&down), 3), Some(after(2)));
        backend.set_admin(AdminState::Draining, after(4));
        assert_eq!(probe(None, 5), Some(after(4)), "it is draining all the same");
        backend.set_admin(AdminState::Enabled, after(6));
        assert_eq!(backend.changed(), Some(after(6)));
    }

    #[test]
    fn trouble_is_timed_from_its_first_probe_and_another_cause_is_news() {
        let backend = &backends(1)[0];
        let thresholds = Thresholds { healthy: 2, unhealthy: 2 };
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (refused, late) =
            (Problem::new(ProblemKind::Unreachable, "refused"), Problem::new(ProblemKind::TimedOut, "late"));
        let probe = |problem: Option<&Problem>, seconds| {
            let seen = backend.observe_probe(problem, &thresholds, at(seconds), Instant::now());
            let trouble = backend.trouble().map(|trouble| (trouble.problem.text, trouble.since));
            (seen.flip, seen.has_another_cause, trouble)
        };
        let told = |text: &str, seconds| Some((text.to_owned(), at(seconds)));
        assert_eq!(probe(None, 0), (None, false, None));
        assert_eq!(probe(Some(&refused), 1), (None, false, None), "it is healthy still");
        assert_eq!(probe(Some(&refused), 2), (Some(Flip::ToUnhealthy), false, told("refused", 1)));
        assert_eq!(probe(Some(&refused), 3), (None, false, told("refused", 1)));
        assert_eq!(probe(Some(&late), 4), (None, true, told("late", 4)));
        assert_eq!(probe(None, 5), (None, false, told("late", 4)));
        assert_eq!(probe(None, 6), (Some(Flip::ToHealthy), false, None));
        assert_eq!(probe(Some(&late), 7), (None, false, None));
        assert_eq!(probe(Some(&late), 8), (Some(Flip::ToUnhealthy), false, told("late", 7)));
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
