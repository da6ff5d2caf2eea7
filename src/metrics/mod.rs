//! Counters of what has happened. A request is counted in one call when it has ended, so the figures
//! add up by construction: total is the sum of success and failed, never a counter of its own.

pub mod audit;
pub mod history;
pub mod json;
pub mod operation;
pub mod prometheus;
pub mod reasons;
mod time;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use crate::histogram::{Histogram, Percentiles};

/// What answers are counted by: the first digit of their status.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How one request ended, as far as figures go.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    /// Whether it counts as proxied, and then whether a backend's answer was relayed.
    pub counts: Option<bool>,
    /// Attempts after the first.
    pub retries: u64,
    /// From its head to its answer's last byte.
    pub latency: Duration,
    /// The word of a refusal or of a break-off.
    pub reason: Option<&'static str>,
}

impl Tally {
    /// A head that was refused before it became a request: it is under its reason and nowhere else.
    pub fn of_refused_head(reason: &'static str) -> Tally {
        Tally { counts: None, retries: 0, latency: Duration::ZERO, reason: Some(reason) }
    }

    /// A request that was refused without an answer, because too many were.
    pub fn of_unanswered(reason: &'static str, latency: Duration) -> Tally {
        Tally { counts: Some(false), retries: 0, latency, reason: Some(reason) }
    }
}

/// All counters.
#[derive(Default)]
pub struct Metrics {
    success: AtomicU64,
    failed: AtomicU64,
    retries: AtomicU64,
    latency: Histogram,
    rate_limited: AtomicU64,
    own_pages: AtomicU64,
    reasons: Mutex<Vec<(&'static str, u64)>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// A backend's answer was relayed.
    pub success: u64,
    /// The balancer had to answer, or the answer broke off.
    pub failed: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Mean time of a proxied request.
    pub avg_latency_ms: f64,
    /// How long proxied requests took.
    pub latency: Percentiles,
    /// Requests refused by the rate limit.
    pub rate_limited: u64,
    /// Requests for the balancer's own pages, which the access log leaves out.
    pub own_pages: u64,
    /// How often each word was given, sorted by word.
    pub reasons: Vec<(&'static str, u64)>,
}

impl Metrics {
    /// Counts one request that has ended. Takes a lock where it was refused or broke off.
    pub fn record(&self, tally: Tally) {
        if let Some(success) = tally.counts {
            let counter = if success { &self.success } else { &self.failed };
            counter.fetch_add(1, Relaxed);
            self.retries.fetch_add(tally.retries, Relaxed);
            self.latency.record(tally.latency);
        }
        let Some(reason) = tally.reason else {
            if tally.counts.is_none() {
                self.own_pages.fetch_add(1, Relaxed);
            }
            return;
        };
        if reason == "rate_limited" {
            self.rate_limited.fetch_add(1, Relaxed);
        }
        let mut reasons = self.reasons.lock();
        match reasons.binary_search_by_key(&reason, |(word, _)| word) {
            Ok(index) => reasons[index].1 += 1,
            Err(index) => reasons.insert(index, (reason, 1)),
        }
    }

    /// How long proxied requests took.
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// The counters now. Takes a lock.
    pub fn snapshot(&self) -> Snapshot {
        let (success, failed) = (self.success.load(Relaxed), self.failed.load(Relaxed));
        let total_ms = self.latency.sum_seconds() * 1000.0;
        Snapshot {
            success,
            failed,
            retries: self.retries.load(Relaxed),
            avg_latency_ms: if success + failed == 0 { 0.0 } else { total_ms / (success + failed) as f64 },
            latency: self.latency.percentiles(),
            rate_limited: self.rate_limited.load(Relaxed),
            own_pages: self.own_pages.load(Relaxed),
            reasons: self.reasons.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: Option<bool>, reason: Option<&'static str>) -> Tally {
        Tally { counts, retries: 1, latency: Duration::from_millis(3), reason }
    }

    #[test]
    fn a_request_counts_once_and_uncounted_ones_only_by_their_reason() {
        let metrics = Metrics::default();
        metrics.record(tally(Some(true), None));
        metrics.record(tally(Some(false), Some("no_healthy_backend")));
        metrics.record(tally(None, Some("rate_limited")));
        metrics.record(tally(None, None));
        let now = metrics.snapshot();
        assert_eq!((now.success, now.failed, now.retries, now.rate_limited), (1, 1, 2, 1));
        assert_eq!(now.own_pages, 1);
        assert_eq!(now.avg_latency_ms, 3.0);
        assert_eq!(now.reasons, [("no_healthy_backend", 1), ("rate_limited", 1)]);
    }
}
