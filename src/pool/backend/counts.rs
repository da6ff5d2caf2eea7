//! What a backend has done and is doing.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::core::Backend;
use crate::histogram::Histogram;
use crate::traffic::Traffic;

/// The newest answer counts this much in the recent latency, once there are enough of them: what counts is
/// some thirty answers.
const RECENT: f64 = 0.03;

impl Backend {
    /// Requests that it has now.
    pub fn active(&self) -> u32 {
        self.kept.active.load(Relaxed)
    }

    /// Attempts so far, those under way included.
    pub fn total_requests(&self) -> u64 {
        self.kept.total_requests.load(Relaxed)
    }

    /// Attempts that failed.
    pub fn total_failures(&self) -> u64 {
        self.kept.total_failures.load(Relaxed)
    }

    /// How long its answers' heads took, or how long they were waited for in vain.
    pub fn latency(&self) -> &Histogram {
        &self.kept.latency
    }

    /// How long they took of late, in microseconds; 0 while there was none. The mean of their orders of
    /// magnitude (a geometric one), so that one answer that took fifty times as long counts little.
    pub fn recent_latency_us(&self) -> f64 {
        f64::from_bits(self.kept.recent_us.load(Relaxed))
    }

    /// How many answers that is the mean of, at least.
    pub fn answers(&self) -> u32 {
        self.kept.answers.load(Relaxed)
    }

    /// Its answers so far by the first digit of their status: 1xx to 5xx.
    pub fn responses(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.kept.responses[class].load(Relaxed))
    }

    pub(in crate::pool) fn count_response(&self, status: u16) {
        let class = usize::from((status / 100).clamp(1, 5)) - 1;
        self.kept.responses[class].fetch_add(1, Relaxed);
    }

    /// Bytes from it and to it, without those of probes.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.kept.traffic
    }

    /// One compare-and-swap, so that two workers can't both take the last place.
    pub(in crate::pool) fn begin(&self) -> bool {
        let most = self.max_connections().unwrap_or(u32::MAX);
        let claimed = self
            .kept
            .active
            .fetch_update(Relaxed, Relaxed, |active| (active < most).then_some(active + 1))
            .is_ok();
        if claimed {
            self.kept.total_requests.fetch_add(1, Relaxed);
        }
        claimed
    }

    pub(in crate::pool) fn end(&self) {
        self.kept.active.fetch_sub(1, Relaxed);
    }

    pub(in crate::pool) fn count_failure(&self) {
        self.kept.total_failures.fetch_add(1, Relaxed);
    }

    /// An answer that did not come in time: it took longer than that. No part of what balancers look at, for
    /// whom a failure is another matter.
    pub(in crate::pool) fn count_wait(&self, wait: Duration) {
        self.kept.latency.record(wait);
    }

    pub(in crate::pool) fn count_latency(&self, latency: Duration) {
        self.kept.latency.record(latency);
        let newest = (latency.as_micros() as f64).max(1.0);
        let answers = self.kept.answers.load(Relaxed).saturating_add(1);
        self.kept.answers.store(answers, Relaxed);
        let recent = self.recent_latency_us();
        // Two at once may lose one of them, which a mean can bear.
        let mean = match recent == 0.0 {
            true => newest,
            false => recent * (newest / recent).powf(RECENT.max(1.0 / f64::from(answers))),
        };
        self.kept.recent_us.store(mean.to_bits(), Relaxed);
    }
}
