//! Samples of the figures over the last quarter of an hour, for someone who looks after an alert. A sample
//! takes some hundred bytes; those of the last minute include figures of each backend, from which current
//! rates and latencies are computed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::json::{all_responses, responses, rounded};
use super::{Metrics, Snapshot};
use crate::histogram::{Percentiles, between};
use crate::pool::{Backend, Live};

/// Time between two samples.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// A quarter of an hour of intervals, plus the sample at its start.
const MOST: usize = 15 * 60 / INTERVAL.as_secs() as usize + 1;
/// Number of newest samples that keep the backends' figures, for current rates.
const WITH_BACKENDS: usize = 3;
/// One sample in this number also has latency buckets, for comparison with later ones. It keeps both ...
const WITH_BUCKETS: u64 = 3;
/// ... while it is one of this many newest samples, a little over a minute.
const DETAILED: usize = 16;

/// Gauges passed in with each sample.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The time.
    pub at: Instant,
    /// Requests being handled.
    pub active_requests: u64,
    /// Requests waiting for a worker.
    pub queued_requests: u64,
    /// Open client connections.
    pub client_connections: u64,
}

/// The figures at one moment.
struct Sample {
    now: Now,
    counted: Snapshot,
    responses: [u64; 5],
    healthy: usize,
    /// Latencies of the requests since the previous sample, if there were any.
    latency: Option<Percentiles>,
    backends: Vec<One>,
    buckets: Option<Buckets>,
}

/// Lower and upper bound in milliseconds, and the count since the start.
type Buckets = Vec<(f64, f64, u64)>;

/// The figures of one backend.
struct One {
    pool: String,
    url: String,
    requests: u64,
    failures: u64,
    responses: [u64; 5],
    buckets: Option<Buckets>,
}

/// See the module.
#[derive(Default)]
pub struct History(Mutex<Samples>);

#[derive(Default)]
struct Samples {
    kept: VecDeque<Sample>,
    /// Number of samples ever taken.
    count: u64,
    /// The latency counts at the time of the newest sample.
    latencies: Vec<u64>,
}

impl History {
    /// Takes a sample of the figures. Takes a lock.
    pub fn note(&self, metrics: &Metrics, live: &Live, now: Now) {
        let mut samples = self.0.lock();
        let latencies = metrics.latency().counts();
        let has_buckets = samples.count.is_multiple_of(WITH_BUCKETS);
        let of_pool = |pool: &crate::pool::Pool| {
            let name = pool.config().name.clone();
            pool.backends()
                .iter()
                .map(move |backend| One::of(&name, backend, has_buckets))
                .collect::<Vec<_>>()
        };
        let sample = Sample {
            now,
            counted: metrics.snapshot(),
            responses: all_responses(live),
            healthy: live.backends().filter(|backend| backend.is_usable()).count(),
            latency: between(&samples.latencies, &latencies),
            backends: live.pools().iter().flat_map(of_pool).collect(),
            buckets: has_buckets.then(|| metrics.latency().buckets()),
        };
        samples.latencies = latencies;
        samples.count += 1;
        samples.kept.push_back(sample);
        if samples.kept.len() > MOST {
            samples.kept.pop_front();
        }
        samples.forget_details();
    }

    /// All samples, the oldest first, with the field names of the page. Takes a lock.
    pub fn to_json(&self, now: Instant) -> Value {
        let samples = self.0.lock();
        let samples: Vec<_> = samples.kept.iter().map(|sample| sample.to_json(now)).collect();
        json!({ "interval_seconds": INTERVAL.as_secs(), "samples": samples })
    }
}

impl Samples {
    fn forget_details(&mut self) {
        let newest = self.kept.len();
        for (age, keeps_buckets) in [(WITH_BACKENDS, true), (DETAILED, false)] {
            let old = newest.checked_sub(age + 1).and_then(|index| self.kept.get_mut(index));
            if let Some(old) = old.filter(|old| !keeps_buckets || old.buckets.is_none()) {
                (old.backends, old.buckets) = (Vec::new(), None);
            }
        }
    }
}

impl Sample {
    fn to_json(&self, now: Instant) -> Value {
        let counted = &self.counted;
        let ago = now.saturating_duration_since(self.now.at).as_secs_f64();
        let mut sample = json!({
            "seconds_ago": rounded(ago),
            "total_requests": counted.success + counted.failed,
            "failed_requests": counted.failed,
            "retry_attempts": counted.retries,
            "rate_limited_requests": counted.rate_limited,
            "responses": responses(self.responses),
            "reasons": counted.reasons.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
            "latency_ms": self.latency.map(|it| {
                json!({ "p50": rounded(it.p50), "p90": rounded(it.p90), "p99": rounded(it.p99) })
            }),
            "active_requests": self.now.active_requests,
            "queued_requests": self.now.queued_requests,
            "client_connections": self.now.client_connections,
            "healthy_backends": self.healthy,
        });
        if !self.backends.is_empty() {
            sample["backends"] = self.backends.iter().map(One::to_json).collect();
        }
        if let Some(buckets) = &self.buckets {
            sample["latency_buckets"] = json!(buckets);
        }
        sample
    }
}

impl One {
    fn of(pool: &str, backend: &Backend, has_buckets: bool) -> One {
        One {
            pool: pool.to_owned(),
            url: backend.name().to_owned(),
            requests: backend.total_requests(),
            failures: backend.total_failures(),
            responses: backend.responses(),
            buckets: has_buckets.then(|| backend.latency().buckets()),
        }
    }

    fn to_json(&self) -> Value {
        let mut one = json!({
            "url": self.url,
            "pool": self.pool,
            "total_requests": self.requests,
            "total_failures": self.failures,
            "responses": responses(self.responses),
        });
        if let Some(buckets) = &self.buckets {
            one["latency_buckets"] = json!(buckets);
        }
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};
    use crate::metrics::Tally;
    use crate::pool::backend::tests::backends;

    fn live() -> Live {
        let config = parse("{}", &Overrides::default()).unwrap();
        let pool =
            crate::pool::tests::pool(backends(2), crate::balance::balancer(config.default_pool.algorithm));
        Live::new(config, vec![pool])
    }

    #[test]
    fn it_is_a_quarter_of_an_hour_and_no_more() {
        let (history, metrics, live, start) =
            (History::default(), Metrics::default(), live(), Instant::now());
        let mut now = start;
        for number in 0..400u64 {
            now = start + INTERVAL * u32::try_from(number).unwrap();
            history.note(
                &metrics,
                &live,
                Now { at: now, active_requests: number, queued_requests: 0, client_connections: 0 },
            );
            let latency = Duration::from_millis(number);
            metrics.record(Tally { counts: Some(true), retries: 0, latency, reason: None });
        }
        let page = history.to_json(now);
        let samples = page["samples"].as_array().unwrap();
        assert_eq!(samples.len(), 181);
        assert_eq!((&samples[0]["seconds_ago"], &samples[180]["seconds_ago"]), (&json!(900.0), &json!(0.0)));
        assert_eq!(
            (&samples[0]["total_requests"], &samples[180]["total_requests"]),
            (&json!(219), &json!(399))
        );
        let p99 = samples[180]["latency_ms"]["p99"].as_f64().unwrap();
        assert!((p99 - 398.0).abs() < 13.0, "{p99} of the one request since the sample before");
        let with = |field: &str| samples.iter().filter(|it| it.get(field).is_some()).count();
        assert_eq!((with("backends"), with("latency_buckets")), (8, 6));
        let buckets = samples.iter().rev().find(|it| it.get("latency_buckets").is_some()).unwrap();
        assert!(buckets["backends"][1]["latency_buckets"].is_array(), "{buckets}");
        let has_backends = |age: usize| samples[180 - age].get("backends").is_some();
        assert!((0..3).all(has_backends) && !has_backends(4), "for rates of now");
        assert!(has_backends(15) && !(16..=180).any(has_backends), "for latencies of the last minute");
    }

    #[test]
    fn nothing_happened_is_no_latency() {
        let (history, metrics) = (History::default(), Metrics::default());
        let now = Now { at: Instant::now(), active_requests: 0, queued_requests: 0, client_connections: 0 };
        history.note(&metrics, &live(), now);
        assert_eq!(history.to_json(now.at)["samples"][0]["latency_ms"], Value::Null);
    }
}
