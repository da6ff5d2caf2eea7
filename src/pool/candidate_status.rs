//! Why each backend was or was not a candidate for a request, at the moment of the choice. Computed only for
//! `explain`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::{AdminState, Backend, Pool, Tried};
use crate::pool::BreakerState;

/// Why a backend was or was not a candidate; of several reasons, the most important one.
#[derive(Debug, Clone, PartialEq)]
pub enum CandidateStatus {
    /// Taken out by an operator, or its weight is 0.
    TakenOut(&'static str),
    /// Taken out by its probes.
    Unhealthy {
        /// Probes that have failed in a row.
        failed: u32,
        /// The problem that the last of them reported.
        problem: String,
        /// How long ago the last probe ended.
        last: Option<Duration>,
    },
    /// It has as many requests as `max_connections` allows.
    Full {
        /// `max_connections`.
        most: u32,
    },
    /// Its breaker is open for this long; `None` while a trial is in progress.
    BreakerOpen(Option<Duration>),
    /// This request was already tried on it.
    Tried,
    /// It has joined others and has not passed a probe yet.
    Newcomer,
    /// It is a backup, and another backend could serve.
    Backup,
    /// It was a candidate.
    Candidate {
        /// Requests in progress.
        active: u32,
        /// Its weight.
        weight: u32,
        /// Its recent latency.
        recent_ms: f64,
    },
}

impl Pool {
    /// The status of every backend, in the configuration's order, without this request's own claim. Takes
    /// locks, one after the other.
    pub fn statuses(
        &self,
        tried: &Tried,
        claimed: Option<&Arc<Backend>>,
        now: Instant,
        at: SystemTime,
    ) -> Vec<(Arc<Backend>, CandidateStatus)> {
        let standing = |backend: &Arc<Backend>| {
            let own = claimed.is_some_and(|claimed| claimed.id() == backend.id());
            let active = backend.active().saturating_sub(u32::from(own));
            (Arc::clone(backend), self.standing(backend, active, tried, (now, at)))
        };
        self.backends().iter().map(standing).collect()
    }

    fn standing(
        &self,
        backend: &Backend,
        active: u32,
        tried: &Tried,
        (now, at): (Instant, SystemTime),
    ) -> CandidateStatus {
        match backend.admin() {
            AdminState::Disabled => return CandidateStatus::TakenOut("disabled by hand"),
            AdminState::Draining => return CandidateStatus::TakenOut("draining"),
            AdminState::Enabled if backend.weight() == 0 => return CandidateStatus::TakenOut("weight 0"),
            AdminState::Enabled => {}
        }
        if !backend.is_healthy() {
            let last = backend.last_checked().and_then(|last| at.duration_since(last).ok());
            let (failed, problem) =
                (backend.failed_probes(), backend.trouble().map_or_else(String::new, |it| it.problem.text));
            return CandidateStatus::Unhealthy { failed, problem, last };
        }
        if self.policy.breaker.is_some() && !backend.breaker_admits(now) {
            let is_trial = backend.breaker_state() == BreakerState::HalfOpen;
            return CandidateStatus::BreakerOpen(backend.breaker_opens_in(now).filter(|_| !is_trial));
        }
        match backend.max_connections() {
            Some(most) if active >= most => CandidateStatus::Full { most },
            _ if tried.has(backend) => CandidateStatus::Tried,
            _ if backend.is_newcomer() => CandidateStatus::Newcomer,
            _ if backend.is_backup() => CandidateStatus::Backup,
            _ => CandidateStatus::Candidate {
                active,
                weight: backend.weight(),
                recent_ms: backend.recent_latency_us() / 1000.0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance;
    use crate::config::Algorithm;
    use crate::pool::backend::tests::backends;
    use crate::pool::tests::pool;

    #[test]
    fn each_backend_has_the_weightiest_reason() {
        let pool = pool(backends(5), balance::balancer(Algorithm::RoundRobin));
        let (now, all) = (Instant::now(), pool.backends());
        all[0].set_unhealthy_for_test();
        all[1].set_admin(AdminState::Draining, now);
        all[2].set_weight(0);
        let mut tried = Tried::default();
        tried.add(&all[3]);
        let found = pool.statuses(&tried, None, now, SystemTime::UNIX_EPOCH + Duration::from_secs(3));
        let found: Vec<_> = found.into_iter().map(|(_, standing)| standing).collect();
        let last = Some(Duration::from_secs(3));
        assert_eq!(found[0], CandidateStatus::Unhealthy { failed: 1, problem: "test".into(), last });
        assert_eq!(found[1], CandidateStatus::TakenOut("draining"));
        assert_eq!(found[2], CandidateStatus::TakenOut("weight 0"));
        assert_eq!(found[3], CandidateStatus::Tried);
        assert_eq!(found[4], CandidateStatus::Candidate { active: 0, weight: 1, recent_ms: 0.0 });
    }
}
