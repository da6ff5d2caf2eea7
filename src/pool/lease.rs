//! One attempt's claim on a backend. It lives until the answer's last byte has been sent, so that `active`
//! counts the backend's real load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::{BreakerState, Generation};
use super::{Backend, Policy, WaitQueue};

/// A counted claim; ends when dropped, also by a panic.
pub struct Lease {
    backend: Arc<Backend>,
    policy: Arc<Policy>,
    /// Notified when the slot is released.
    wait_queue: Arc<WaitQueue>,
    claimed_at: Instant,
    /// The claim on the breaker, until a result is reported.
    breaker: Option<Generation>,
}

impl Lease {
    /// Claims a slot at the backend; `None` if it has none left. With `past_breaker` the breaker is not
    /// claimed: the backend is a last resort, and its result must not affect the breaker.
    pub(super) fn claim(
        backend: &Arc<Backend>,
        (policy, line): (&Arc<Policy>, &Arc<WaitQueue>),
        past_breaker: bool,
        now: Instant,
    ) -> Option<Lease> {
        if !backend.begin() {
            return None;
        }
        let mut lease = Lease {
            backend: Arc::clone(backend),
            policy: Arc::clone(policy),
            wait_queue: Arc::clone(line),
            claimed_at: now,
            breaker: None,
        };
        if policy.breaker.is_some() && !past_breaker {
            // Dropping `lease` releases the slot.
            lease.breaker = Some(backend.claim_breaker(now)?);
        }
        Some(lease)
    }

    /// The backend claimed.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Records the head of an answer; returns the breaker's state if it has changed. The slot stays claimed.
    /// May take a lock.
    pub fn answered(&mut self, status: u16, latency: Duration) -> Option<BreakerState> {
        self.backend.count_latency(latency);
        self.backend.count_response(status);
        let breaker = self.policy.breaker.as_ref()?;
        let passed = !breaker.on_status.contains(&status);
        // The usual case: nothing to record, so no lock.
        if passed && self.backend.breaker_is_clean() {
            return None;
        }
        // The answer may still break off, so a good head does not use up the claim on the breaker.
        let claimed = if passed { self.breaker? } else { self.breaker.take()? };
        self.backend.tell_breaker(claimed, passed, breaker, self.claimed_at + latency)
    }

    /// Records that the attempt timed out. Call it before the method that reports the failure; without it,
    /// the latency of a hanging backend would look short.
    pub fn timed_out(&self, now: Instant) {
        self.backend.count_wait(now.saturating_duration_since(self.claimed_at));
    }

    /// The attempt failed by the backend's fault. Ends the claim; returns the breaker's state if it has
    /// changed. May take a lock.
    pub fn failed(mut self, now: Instant) -> Option<BreakerState> {
        self.backend.count_failure();
        let breaker = self.policy.breaker.as_ref()?;
        let claimed = self.breaker.take()?;
        self.backend.tell_breaker(claimed, false, breaker, now)
    }

    /// The attempt failed, by whose fault is not known yet. Releases the slot; the breaker waits for
    /// [`Undecided`].
    pub fn failed_perhaps(mut self) -> Undecided {
        self.backend.count_failure();
        let (backend, policy) = (Arc::clone(&self.backend), Arc::clone(&self.policy));
        Undecided { backend, policy, claimed_at: self.claimed_at, breaker: self.breaker.take() }
    }

    /// The attempt failed because of the answer's status, which the breaker already knows. Ends the claim.
    pub fn failed_by_status(self) {
        self.backend.count_failure();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.end();
        if let Some(claimed) = self.breaker
            && !self.backend.breaker_is_clean()
        {
            self.backend.abandon_breaker(claimed, self.claimed_at);
        }
        self.wait_queue.freed();
    }
}

/// A failed attempt that is not yet reported to the backend's breaker; dropping it reports nothing.
pub struct Undecided {
    backend: Arc<Backend>,
    policy: Arc<Policy>,
    claimed_at: Instant,
    breaker: Option<Generation>,
}

impl Undecided {
    /// The backend of the attempt.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// The failure was the backend's fault; returns the breaker's state if it has changed. May take a lock.
    pub fn is_the_backend_s(mut self, now: Instant) -> Option<BreakerState> {
        let breaker = self.policy.breaker.as_ref()?;
        let claimed = self.breaker.take()?;
        self.backend.tell_breaker(claimed, false, breaker, now)
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if let Some(claimed) = self.breaker
            && !self.backend.breaker_is_clean()
        {
            self.backend.abandon_breaker(claimed, self.claimed_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::backend::tests::backends;

    #[test]
    fn what_timed_out_counts_as_that_slow() {
        let (backend, now) = (&backends(1)[0], Instant::now());
        let lease = Lease::claim(backend, (&Arc::default(), &Arc::default()), false, now).unwrap();
        lease.timed_out(now + Duration::from_secs(10));
        lease.failed(now);
        assert_eq!((backend.latency().count(), backend.latency().percentiles().max), (1, 10_000.0));
        assert_eq!(backend.recent_latency_us(), 0.0, "balancers look at answers");
    }

    #[test]
    fn active_lives_as_long_as_the_lease() {
        let (backend, now) = (&backends(1)[0], Instant::now());
        let (policy, line) = (Arc::default(), Arc::default());
        let claim = || Lease::claim(backend, (&policy, &line), false, now).unwrap();
        let (one, two) = (claim(), claim());
        assert_eq!((backend.active(), backend.total_requests()), (2, 2));
        one.failed(now);
        assert_eq!((backend.active(), backend.total_failures()), (1, 1));
        drop(two);
        assert_eq!((backend.active(), backend.total_failures()), (0, 1));
        for status in [200, 302, 500, 503, 999] {
            claim().answered(status, Duration::ZERO);
        }
        assert_eq!(
            backend.responses(),
            [0, 1, 1, 0, 3],
            "one out of the range is a mistake of the backend's"
        );
    }
}
