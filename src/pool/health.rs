//! Turns the results of probes into healthy or unhealthy; only a change is reported.

/// How many equal results in a row change the health.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Passed probes until a backend is healthy.
    pub healthy: u32,
    /// Failed probes until a backend is unhealthy.
    pub unhealthy: u32,
}

/// A change of the health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    /// From unhealthy.
    ToHealthy,
    /// From healthy.
    ToUnhealthy,
}

/// Counts the probes of one backend.
#[derive(Debug)]
pub struct HealthTracker {
    healthy: bool,
    probed: bool,
    /// Probes in a row that contradict the current health.
    against: u32,
    /// Failed probes in a row.
    failed: u32,
}

impl Default for HealthTracker {
    /// A backend is usable from the start; see [`HealthTracker::observe`] for its first probe.
    fn default() -> Self {
        HealthTracker { healthy: true, probed: false, against: 0, failed: 0 }
    }
}

impl HealthTracker {
    /// The current health.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Failed probes in a row.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Notes a probe's result. The very first probe decides alone, so that a dead backend is known after one
    /// probe.
    pub fn observe(&mut self, passed: bool, thresholds: &Thresholds) -> Option<Flip> {
        let first = !std::mem::replace(&mut self.probed, true);
        self.failed = if passed { 0 } else { self.failed.saturating_add(1) };
        if passed == self.healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if passed { thresholds.healthy } else { thresholds.unhealthy };
        if !first && self.against < needed {
            return None;
        }
        self.healthy = passed;
        self.against = 0;
        Some(if passed { Flip::ToHealthy } else { Flip::ToUnhealthy })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO_OF_TWO: Thresholds = Thresholds { healthy: 2, unhealthy: 2 };

    /// Compares the health after each probe (`+` passed, `-` failed) with `verdicts` (`H` healthy, `u`
    /// unhealthy).
    fn check(probes: &str, verdicts: &str) {
        let mut tracker = HealthTracker::default();
        let mut found = String::new();
        for probe in probes.chars() {
            tracker.observe(probe == '+', &TWO_OF_TWO);
            found.push(if tracker.is_healthy() { 'H' } else { 'u' });
        }
        assert_eq!(found, verdicts, "after {probes}");
    }

    #[test]
    fn unhealthy_after_two_failures_in_a_row() {
        check("+--", "HHu");
    }

    #[test]
    fn healthy_after_two_passes_in_a_row() {
        check("+--++", "HHuuH");
    }

    #[test]
    fn the_first_probe_decides_alone() {
        check("-", "u");
        check("-++", "uuH");
    }

    #[test]
    fn flapping_keeps_the_verdict() {
        check("+-+-+-", "HHHHHH");
        check("-+-+-+", "uuuuuu");
    }

    proptest! {
        #[test]
        fn a_flip_is_reported_exactly_when_the_verdict_changes(probes: Vec<bool>, healthy in 1u32..5, unhealthy in 1u32..5) {
            let mut tracker = HealthTracker::default();
            for passed in probes {
                let before = tracker.is_healthy();
                let flip = tracker.observe(passed, &Thresholds { healthy, unhealthy });
                prop_assert_eq!(flip.is_some(), before != tracker.is_healthy());
                prop_assert_eq!(flip == Some(Flip::ToHealthy), !before && tracker.is_healthy());
            }
        }
    }
}
