//! `/lb-metrics` as JSON. The names are part of the documented interface and must not change.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::operation::Operation;
use super::time::rfc3339;
use super::{CLASSES, Metrics};
use crate::histogram::{Histogram, Percentiles};
use crate::pool::{Backend, Live};

/// Figures other than counters; each field is one of the page.
#[derive(Serialize)]
pub struct Gauges {
    /// Time since the start.
    #[serde(skip)]
    pub uptime: Duration,
    /// The algorithm's name in the configuration.
    pub algorithm: String,
    /// Requests being handled, without those for the balancer's own endpoints.
    pub active_requests: u64,
    /// Requests waiting for a worker.
    pub queued_requests: u64,
    /// Open client connections.
    pub client_connections: u64,
    /// Answers and tunnels outside the worker pool.
    pub streams: u64,
    /// Bytes received from clients.
    pub received_bytes: u64,
    /// Bytes sent to clients.
    pub sent_bytes: u64,
    /// Whether the process is draining.
    pub draining: bool,
    /// Figures of the process itself.
    #[serde(skip)]
    pub operation: Operation,
}

/// The time and the options of a page.
#[derive(Debug, Clone, Copy)]
pub struct View {
    now: Instant,
    /// `timeouts.backend_idle`.
    idle: Duration,
    buckets: bool,
}

impl View {
    /// The view for this configuration at this time, without buckets.
    pub fn at(live: &Live, now: Instant) -> View {
        View { now, idle: live.config.timeouts.backend_idle, buckets: false }
    }

    /// Adds or omits `latency_buckets`; the difference of two pages gives the percentiles of the time between
    /// them.
    pub fn with_buckets(self, buckets: bool) -> View {
        View { buckets, ..self }
    }
}

/// The whole page.
pub fn page(metrics: &Metrics, gauges: &Gauges, live: &Live, view: View) -> Value {
    let snapshot = metrics.snapshot();
    let reasons: serde_json::Map<String, Value> =
        snapshot.reasons.iter().map(|(word, count)| ((*word).to_owned(), json!(count))).collect();
    // People look at the first lines.
    let mut page = json!({
        "uptime_seconds": gauges.uptime.as_secs(),
        "total_requests": snapshot.success + snapshot.failed,
        "success_requests": snapshot.success,
        "failed_requests": snapshot.failed,
        "retry_attempts": snapshot.retries,
        "rate_limited_requests": snapshot.rate_limited,
        "own_page_requests": snapshot.own_pages,
        "avg_latency_ms": rounded(snapshot.avg_latency_ms),
        "latency_ms": latency(&snapshot.latency),
    });
    let rest = json!({
        "reasons": reasons,
        "healthy_backends": live.backends().filter(|backend| backend.is_usable()).count(),
        "total_backends": live.backends().count(),
        "responses": responses(all_responses(live)),
        "pools": pools(live),
        "backends": entries(live, view),
    });
    if let Value::Object(fields) = &mut page {
        // Each is an object with names as keys, so serializing can't fail.
        for more in [serde_json::to_value(gauges).unwrap_or_default(), rest] {
            if let Value::Object(mut more) = more {
                fields.append(&mut more);
            }
        }
        fields.append(&mut gauges.operation.fields(live));
    }
    add_buckets(&mut page, metrics.latency(), view);
    page
}

pub(super) fn all_responses(live: &Live) -> [u64; 5] {
    let counts: Vec<[u64; 5]> = live.backends().map(|backend| backend.responses()).collect();
    std::array::from_fn(|class| counts.iter().map(|counts| counts[class]).sum())
}

/// The pools with their algorithms.
fn pools(live: &Live) -> Vec<Value> {
    let config = live.pools().iter().map(|pool| pool.config());
    config.map(|it| json!({ "name": it.name, "algorithm": it.algorithm.to_string() })).collect()
}

/// The backends of all pools.
pub fn entries(live: &Live, view: View) -> Vec<Value> {
    let of_pool = |pool: &crate::pool::Pool| {
        let name = pool.config().name.clone();
        pool.backends().iter().map(move |backend| entry(&name, backend, view)).collect::<Vec<_>>()
    };
    live.pools().iter().flat_map(of_pool).collect()
}

/// One backend.
pub fn entry(pool: &str, backend: &Backend, view: View) -> Value {
    let since = backend.changed().map(|changed| view.now.saturating_duration_since(changed).as_secs());
    let trouble = backend.trouble();
    let (idle, source) = backend.idle_time().limit(view.idle);
    let mut entry = json!({
        "url": backend.name(),
        "name": backend.configured_name(),
        "pool": pool,
        "state": backend.state(),
        "since_seconds": since,
        "last_error": trouble.as_ref().map(|trouble| trouble.problem.text.as_str()),
        "last_error_since": trouble.as_ref().map(|trouble| rfc3339(trouble.since)),
        "weight": backend.weight(),
        "backup": backend.is_backup(),
        "breaker": backend.breaker_state().word(),
        "active_connections": backend.active(),
        "max_connections": backend.max_connections(),
        "total_requests": backend.total_requests(),
        "total_failures": backend.total_failures(),
        "responses": responses(backend.responses()),
        "received_bytes": backend.traffic().received(),
        "sent_bytes": backend.traffic().sent(),
        "latency_ms": latency(&backend.latency().percentiles()),
        "idle_ms": idle.as_millis() as u64,
        "idle_source": source.word(),
        "last_checked": backend.last_checked().map(rfc3339),
        // 0 if the last probe passed, whatever the admin state.
        "failed_probes": backend.failed_probes(),
    });
    add_buckets(&mut entry, backend.latency(), view);
    entry
}

/// Counts of answers by the name of their class.
pub(super) fn responses(counts: [u64; 5]) -> Value {
    CLASSES.iter().zip(counts).map(|(class, count)| ((*class).to_owned(), json!(count))).collect()
}

/// Adds the non-empty buckets as `[from_ms, to_ms, count]`.
fn add_buckets(value: &mut Value, latency: &Histogram, view: View) {
    if view.buckets {
        value["latency_buckets"] = json!(latency.buckets());
    }
}

/// Rounds to three decimals.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn latency(percentiles: &Percentiles) -> Value {
    json!({
        "p50": rounded(percentiles.p50),
        "p90": rounded(percentiles.p90),
        "p99": rounded(percentiles.p99),
        "max": rounded(percentiles.max),
    })
}
