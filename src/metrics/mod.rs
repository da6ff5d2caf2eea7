//! Counters of requests. Each request is counted by one call after it has ended, so the figures always add
//! up: the total is computed from success and failed, not counted separately.

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

/// Classes of answers, by the first digit of the status.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The end of one request, for the counters.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    /// `Some` for a proxied request, with whether a backend's answer was relayed.
    pub counts: Option<bool>,
    /// Attempts after the first.
    pub retries: u64,
    /// Time from the request's head to the last byte of the answer.
    pub latency: Duration,
    /// The reason of a refusal or of a broken-off answer.
    pub reason: Option<&'static str>,
}

impl Tally {
    /// A head refused before it became a request: counted only under its reason.
    pub fn of_refused_head(reason: &'static str) -> Tally {
        Tally { counts: None, retries: 0, latency: Duration::ZERO, reason: Some(reason) }
    }

    /// A request that was refused without an answer because there were too many.
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
    /// Requests for which a backend's answer was relayed completely.
    pub success: u64,
    /// Requests refused, or whose answer was broken off.
    pub failed: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Mean latency of proxied requests.
    pub avg_latency_ms: f64,
    /// Latencies of proxied requests.
    pub latency: Percentiles,
    /// Requests refused by the rate limit.
    pub rate_limited: u64,
    /// Requests for the balancer's own endpoints.
    pub own_pages: u64,
    /// Counts by reason, sorted by reason.
    pub reasons: Vec<(&'static str, u64)>,
}

impl Metrics {
    /// Counts one ended request. Takes a lock if it was refused or broken off.
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

    /// Latencies of proxied requests.
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
