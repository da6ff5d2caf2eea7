//! The retry budget: retries in flight stay below a share of the requests in flight, so that an outage does
//! not multiply the load on the remaining backends. A maximum number of retries per request does not prevent
//! that: when every request fails, each is sent three times.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Retries always allowed in flight, whatever the share: a quiet balancer must be able to retry, too.
const MIN_RETRIES: u64 = 3;

/// Counts requests and retries in flight.
#[derive(Debug, Default)]
pub struct Budget {
    requests: AtomicU64,
    retries: AtomicU64,
}

/// One request in flight, and whether it is being retried. Releases both counts when dropped.
pub struct Account<'a> {
    budget: &'a Budget,
    retrying: bool,
}

impl Budget {
    /// Counts a request as in flight.
    pub fn enter(&self) -> Account<'_> {
        self.requests.fetch_add(1, Relaxed);
        Account { budget: self, retrying: false }
    }
}

impl Account<'_> {
    /// Whether this request may be retried now. From its first retry to its end, the request counts as one
    /// retry in flight.
    pub fn may_retry(&mut self, percent: u32) -> bool {
        if self.retrying {
            return true;
        }
        let share = self.budget.requests.load(Relaxed) * u64::from(percent) / 100;
        let most = share.max(MIN_RETRIES);
        let place = self.budget.retries.fetch_update(Relaxed, Relaxed, |now| (now < most).then_some(now + 1));
        self.retrying = place.is_ok();
        self.retrying
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.budget.requests.fetch_sub(1, Relaxed);
        if self.retrying {
            self.budget.retries.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of this number of requests in flight may retry.
    fn retrying(requests: usize, percent: u32) -> usize {
        let budget = Budget::default();
        let mut accounts: Vec<_> = (0..requests).map(|_| budget.enter()).collect();
        let count =
            accounts.iter_mut().filter_map(|account| account.may_retry(percent).then_some(())).count();
        drop(accounts);
        assert_eq!((budget.requests.load(Relaxed), budget.retries.load(Relaxed)), (0, 0));
        count
    }

    #[test]
    fn retries_stay_within_their_share_and_three_are_always_had() {
        assert_eq!(retrying(100, 20), 20);
        assert_eq!(retrying(2, 20), 2);
        assert_eq!(retrying(10, 20), 3);
        assert_eq!(retrying(10, 0), 3);
    }

    #[test]
    fn a_request_takes_one_place_however_often_it_is_retried() {
        let budget = Budget::default();
        let mut account = budget.enter();
        assert!((0..9).all(|_| account.may_retry(0)));
        assert_eq!(budget.retries.load(Relaxed), 1);
    }
}
