//! Latencies in buckets: recorded with a few atomic additions and no lock, read as percentiles.
//!
//! Buckets are log-linear, as in HdrHistogram: each power of two of microseconds is divided into 32 equal
//! parts, so a percentile of any size is off by at most one part in 32, in 7 KB of memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets for each power of two.
const PARTS: u64 = 32;
/// Powers of two above the first 32 microseconds; the last one begins at 18 minutes, and its last bucket has
/// no upper end.
const POWERS: usize = 26;
const BUCKETS: usize = PARTS as usize * (POWERS + 1);
/// How many neighbouring buckets [`Histogram::buckets`] merges: an eighth of a power of two is narrow enough
/// to draw and keeps the JSON small.
const TOGETHER: usize = 4;

/// Upper bounds in seconds of the coarse buckets for Prometheus; one without a bound follows.
pub const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counts latencies.
pub struct Histogram {
    fine: Box<[AtomicU64; BUCKETS]>,
    coarse: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let empty = || AtomicU64::new(0);
        Histogram {
            fine: Box::new(std::array::from_fn(|_| empty())),
            coarse: std::array::from_fn(|_| empty()),
            sum_us: empty(),
            max_us: empty(),
        }
    }
}

/// The state of a histogram at one moment, in milliseconds; all 0 while nothing is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 90 of 100 were no longer.
    pub p90: f64,
    /// 99 of 100 were no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.fine[bucket(us)].fetch_add(1, Relaxed);
        let seconds = latency.as_secs_f64();
        self.coarse[BOUNDS.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
        if us > self.max_us.load(Relaxed) {
            self.max_us.fetch_max(us, Relaxed);
        }
    }

    /// Number of latencies up to each of [`BOUNDS`], and of all.
    pub fn cumulative(&self) -> [u64; BOUNDS.len() + 1] {
        let mut total = 0;
        std::array::from_fn(|index| {
            total += self.coarse[index].load(Relaxed);
            total
        })
    }

    /// The non-empty merged buckets: lower and upper bound in milliseconds, and the count.
    pub fn buckets(&self) -> Vec<(f64, f64, u64)> {
        let ms = |index: usize| lower(index) as f64 / 1000.0;
        let sums = self.fine.chunks(TOGETHER).map(|part| part.iter().map(|it| it.load(Relaxed)).sum());
        let whole = sums.enumerate().map(|(index, count)| (index * TOGETHER, count));
        whole.filter(|(_, count)| *count > 0).map(|(at, count)| (ms(at), ms(at + TOGETHER), count)).collect()
    }

    /// Number of latencies.
    pub fn count(&self) -> u64 {
        self.fine.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Sum of the latencies in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_us.load(Relaxed) as f64 / 1e6
    }

    /// The current percentiles.
    pub fn percentiles(&self) -> Percentiles {
        percentiles(&self.counts(), self.max_us.load(Relaxed))
    }

    /// The count of each fine bucket, for a later comparison.
    pub fn counts(&self) -> Vec<u64> {
        self.fine.iter().map(|count| count.load(Relaxed)).collect()
    }
}

/// The percentiles between two calls of [`Histogram::counts`]; `None` if nothing was recorded. The maximum is
/// unknown and 0.
pub fn between(before: &[u64], now: &[u64]) -> Option<Percentiles> {
    let before = before.iter().copied().chain(std::iter::repeat(0));
    let more: Vec<u64> = now.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect();
    let any = more.iter().any(|count| *count > 0);
    any.then(|| Percentiles { max: 0.0, ..percentiles(&more, u64::MAX) })
}

fn percentiles(counts: &[u64], max: u64) -> Percentiles {
    let total: u64 = counts.iter().sum();
    let at = |share: f64| {
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0.0, |index| middle(index).min(max as f64) / 1000.0)
    };
    if total == 0 {
        return Percentiles::default();
    }
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: max as f64 / 1000.0 }
}

fn bucket(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    let power = us.ilog2() - PARTS.ilog2();
    let part = (us >> power) - PARTS;
    (((u64::from(power) + 1) * PARTS + part) as usize).min(BUCKETS - 1)
}

/// Lower bound of a bucket, in microseconds.
fn lower(index: usize) -> u64 {
    let (power, part) = (index as u64 / PARTS, index as u64 % PARTS);
    if power == 0 { part } else { (PARTS + part) << (power - 1) }
}

/// Middle of a bucket, in microseconds.
fn middle(index: usize) -> f64 {
    match index as u64 / PARTS {
        0 => lower(index) as f64,
        power => lower(index) as f64 + (1u64 << (power - 1)) as f64 / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Histogram::default().percentiles(), Percentiles::default());
    }

    #[test]
    fn cumulative_counts_include_their_bound() {
        let histogram = Histogram::default();
        for us in [500, 501, 20_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let counts = histogram.cumulative();
        assert_eq!((counts[0], counts[1], counts[BOUNDS.len() - 1], counts[BOUNDS.len()]), (1, 2, 2, 3));
        assert!((histogram.sum_seconds() - 20.001_001).abs() < 1e-9);
    }

    #[test]
    fn what_came_between_two_moments_is_told_apart() {
        let histogram = Histogram::default();
        assert_eq!(between(&[], &histogram.counts()), None);
        histogram.record(Duration::from_secs(9));
        let before = histogram.counts();
        assert_eq!(between(&before, &histogram.counts()), None);
        histogram.record(Duration::from_micros(20));
        let found = between(&before, &histogram.counts()).unwrap();
        assert_eq!((found.p50, found.p99, found.max), (0.02, 0.02, 0.0));
        assert!(between(&[], &histogram.counts()).unwrap().p99 > 8000.0);
    }

    #[test]
    fn buckets_are_where_their_latencies_are() {
        let histogram = Histogram::default();
        assert!(histogram.buckets().is_empty());
        for us in [2, 3, 1000, 1_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        assert_eq!(histogram.buckets(), [(0.0, 0.004, 2), (0.96, 1.024, 1), (983.04, 1048.576, 1)]);
    }

    proptest! {
        #[test]
        fn percentiles_are_near_the_exact_ones(mut all in proptest::collection::vec(0u64..2_000_000_000, 1..300)) {
            let histogram = Histogram::default();
            all.iter().for_each(|us| histogram.record(Duration::from_micros(*us)));
            all.sort_unstable();
            let exact = |share: f64| all[((all.len() as f64 * share).ceil() as usize).max(1) - 1] as f64 / 1000.0;
            let found = histogram.percentiles();
            for (found, exact) in [(found.p50, exact(0.5)), (found.p90, exact(0.9)), (found.p99, exact(0.99))] {
                prop_assert!((found - exact).abs() <= exact / 32.0 + 0.001, "{} for {}", found, exact);
            }
            prop_assert_eq!(found.max, *all.last().unwrap() as f64 / 1000.0);
        }
    }
}
