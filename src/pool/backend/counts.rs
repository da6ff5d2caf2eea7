//! Counters and latencies of a backend.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::core::Backend;
use crate::histogram::Histogram;
use crate::traffic::Traffic;

/// Weight of the newest answer in the recent latency, once there are enough answers: about the last thirty
/// count.
const RECENT: f64 = 0.03;

impl Backend {
    /// Requests in progress.
    pub fn active(&self) -> u32 {
        self.kept.active.load(Relaxed)
    }

    /// Attempts so far, including those in progress.
    pub fn total_requests(&self) -> u64 {
        self.kept.total_requests.load(Relaxed)
    }

    /// Failed attempts.
    pub fn total_failures(&self) -> u64 {
        self.kept.total_failures.load(Relaxed)
    }

    /// Times until an answer's head arrived, or until an attempt timed out.
    pub fn latency(&self) -> &Histogram {
        &self.kept.latency
    }

    /// Recent latency in microseconds; 0 before the first answer. A geometric mean, so that one answer that
    /// took fifty times as long counts little.
    pub fn recent_latency_us(&self) -> f64 {
        f64::from_bits(self.kept.recent_us.load(Relaxed))
    }

    /// How many answers are in [`Backend::recent_latency_us`]; concurrent updates may lose some.
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

    /// Bytes from and to the backend, without probes.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.kept.traffic
    }

    /// Claims a slot below `max_connections`. One compare-and-swap, so that two workers can't both take the
    /// last slot.
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

    /// Counts an attempt that timed out after `wait`. Only in the histogram: balancers look at the latency of
    /// answers and treat failures separately.
    pub(in crate::pool) fn count_wait(&self, wait: Duration) {
        self.kept.latency.record(wait);
    }

    pub(in crate::pool) fn count_latency(&self, latency: Duration) {
        self.kept.latency.record(latency);
        let newest = (latency.as_micros() as f64).max(1.0);
        let answers = self.kept.answers.load(Relaxed).saturating_add(1);
        self.kept.answers.store(answers, Relaxed);
        let recent = self.recent_latency_us();
        // Concurrent updates may lose one of them, which does not matter for a mean.
        let mean = match recent == 0.0 {
            true => newest,
            false => recent * (newest / recent).powf(RECENT.max(1.0 / f64::from(answers))),
        };
        self.kept.recent_us.store(mean.to_bits(), Relaxed);
    }
}
