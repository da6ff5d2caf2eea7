//! The figures for Prometheus (text exposition format 0.0.4): base units, `_total` on counters, one latency
//! histogram for each backend. <https://prometheus.io/docs/instrumenting/exposition_formats/>

mod operation;

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::json::Gauges;
use super::reasons::from_zero;
use super::{CLASSES, Snapshot};
use crate::histogram::{BOUNDS, Histogram};
use crate::pool::{Backend, BreakerState, Live, Pool};

/// The page's `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One backend with the name of its pool.
type One<'a> = (&'a str, &'a Backend);

/// The whole page.
pub fn page(snapshot: &Snapshot, gauges: &Gauges, live: &Live, latency: &Histogram) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    page.one("loadbalancer_uptime_seconds", "gauge", "Time since the start.", gauges.uptime.as_secs_f64());
    page.head("loadbalancer_requests_total", "counter", "Proxied requests that have ended.");
    page.sample("loadbalancer_requests_total", &[("result", "success")], snapshot.success as f64);
    page.sample("loadbalancer_requests_total", &[("result", "failed")], snapshot.failed as f64);
    page.one("loadbalancer_retries_total", "counter", "Attempts after the first.", snapshot.retries as f64);
    page.head(
        "loadbalancer_refusals_total",
        "counter",
        "Requests that the balancer answered or ended itself, by reason.",
    );
    for (reason, count) in &from_zero(&snapshot.reasons) {
        page.sample("loadbalancer_refusals_total", &[("reason", reason)], *count as f64);
    }
    let name = "loadbalancer_own_page_requests_total";
    page.one(
        name,
        "counter",
        "Requests for the balancer's own pages that were answered.",
        snapshot.own_pages as f64,
    );
    page.gauges(gauges);
    page.operation(&gauges.operation, live);
    let name = "loadbalancer_request_duration_seconds";
    page.head(name, "histogram", "Time from a proxied request's head to its answer's last byte.");
    page.histogram(name, &[], latency);
    let backends: Vec<One<'_>> = live.pools().iter().flat_map(of_pool).collect();
    page.backends(&backends, live.config.timeouts.backend_idle);
    page.0
}

fn of_pool(pool: &Pool) -> impl Iterator<Item = One<'_>> {
    pool.backends().iter().map(|backend| (pool.config().name.as_str(), &**backend))
}

struct Page(String);

impl Page {
    fn gauges(&mut self, gauges: &Gauges) {
        let rows: [(&str, &str, u64); 4] = [
            (
                "loadbalancer_active_requests",
                "Requests being handled, without those for the balancer's own pages.",
                gauges.active_requests,
            ),
            ("loadbalancer_queued_requests", "Requests that wait for a worker.", gauges.queued_requests),
            ("loadbalancer_client_connections", "Open connections of clients.", gauges.client_connections),
            ("loadbalancer_streams", "Answers and tunnels outside of the worker pool.", gauges.streams),
        ];
        for (name, help, value) in rows {
            self.one(name, "gauge", help, value as f64);
        }
        let (received, sent) = (gauges.received_bytes as f64, gauges.sent_bytes as f64);
        self.one("loadbalancer_received_bytes_total", "counter", "Bytes from clients.", received);
        self.one("loadbalancer_sent_bytes_total", "counter", "Bytes to clients.", sent);
    }

    fn backends(&mut self, backends: &[One<'_>], idle: Duration) {
        type Row = (&'static str, &'static str, &'static str, fn(&Backend) -> f64);
        let rows: [Row; 10] = [
            ("healthy", "gauge", "1 while the probes find it healthy.", |it| {
                f64::from(u8::from(it.is_healthy()))
            }),
            ("usable", "gauge", "1 while probes and people let it take requests.", |it| {
                f64::from(u8::from(it.is_usable()))
            }),
            ("weight", "gauge", "Its share of the requests.", |it| f64::from(it.weight())),
            ("active_requests", "gauge", "Requests that it has now.", |it| f64::from(it.active())),
            ("breaker_open", "gauge", "1 while its breaker is open or on trial.", |it| {
                f64::from(u8::from(it.breaker_state() != BreakerState::Closed))
            }),
            ("attempts_total", "counter", "Attempts so far, those under way included.", |it| {
                it.total_requests() as f64
            }),
            ("failures_total", "counter", "Attempts that failed.", |it| it.total_failures() as f64),
            ("received_bytes_total", "counter", "Bytes from it, those of probes aside.", |it| {
                it.traffic().received() as f64
            }),
            ("sent_bytes_total", "counter", "Bytes to it, those of probes aside.", |it| {
                it.traffic().sent() as f64
            }),
            (
                "last_check_timestamp_seconds",
                "gauge",
                "When it was last probed; 0 before the first probe.",
                |it| unix_seconds(it.last_checked()),
            ),
        ];
        for (name, kind, help, value) in rows {
            let name = format!("loadbalancer_backend_{name}");
            self.head(&name, kind, help);
            for (pool, backend) in backends {
                self.sample(&name, &labels(pool, backend), value(backend));
            }
        }
        let name = "loadbalancer_backend_idle_seconds";
        self.head(name, "gauge", "How long an idle connection to it is kept, and how that is known.");
        for (pool, backend) in backends {
            let (time, source) = backend.idle_time().limit(idle);
            let labels = [labels(pool, backend), vec![("source", source.word())]].concat();
            self.sample(name, &labels, time.as_secs_f64());
        }
        self.troubles(backends);
        let name = "loadbalancer_responses_total";
        self.head(name, "counter", "Answers of backends by the first digit of their status.");
        for (pool, backend) in backends {
            for (class, count) in CLASSES.iter().zip(backend.responses()) {
                let labels = [labels(pool, backend), vec![("code", *class)]].concat();
                self.sample(name, &labels, count as f64);
            }
        }
        let name = "loadbalancer_backend_response_seconds";
        self.head(name, "histogram", "Time from an attempt's start to the head of its answer.");
        for (pool, backend) in backends {
            self.histogram(name, &labels(pool, backend), backend.latency());
        }
    }

    /// Only for unhealthy backends: when a backend recovers, its series ends.
    fn troubles(&mut self, backends: &[One<'_>]) {
        let troubled: Vec<_> =
            backends.iter().filter_map(|(pool, it)| Some((labels(pool, it), it.trouble()?))).collect();
        let name = "loadbalancer_backend_unhealthy_info";
        self.head(name, "gauge", "1 for each backend that probes find unhealthy, with the cause in a word.");
        for (labels, trouble) in &troubled {
            let labels = [labels.as_slice(), &[("reason", trouble.problem.kind.word())]].concat();
            self.sample(name, &labels, 1.0);
        }
        let name = "loadbalancer_backend_unhealthy_since_timestamp_seconds";
        self.head(name, "gauge", "When a probe of an unhealthy backend first failed for its present cause.");
        for (labels, trouble) in &troubled {
            self.sample(name, labels, unix_seconds(Some(trouble.since)));
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let labels: Vec<_> =
                labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let _ = write!(self.0, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let counts = histogram.cumulative();
        let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.sample(&format!("{name}_bucket"), &labels, count as f64);
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum_seconds());
        self.sample(&format!("{name}_count"), labels, counts[BOUNDS.len()] as f64);
    }
}

/// The labels of a backend. One address of a name also gets the name, because two names may have the same
/// address.
fn labels<'a>(pool: &'a str, backend: &'a Backend) -> Vec<(&'static str, &'a str)> {
    let name = backend.is_endpoint().then(|| ("name", backend.configured_name()));
    [("pool", pool), ("backend", backend.name())].into_iter().chain(name).collect()
}

/// Seconds since 1970; 0 if there is no time.
fn unix_seconds(time: Option<SystemTime>) -> f64 {
    let since = time.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Escapes a label's value; the only place where foreign text enters the page.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_all() {
        let histogram = Histogram::default();
        for ms in [1, 3, 20_000] {
            histogram.record(Duration::from_millis(ms));
        }
        let mut page = Page(String::new());
        page.histogram("x_seconds", &[("a", "b\"\\\n")], &histogram);
        assert!(page.0.contains("x_seconds_bucket{a=\"b\\\"\\\\\\n\",le=\"0.001\"} 1\n"), "{}", page.0);
        assert!(page.0.contains("le=\"0.005\"} 2\n") && page.0.contains("le=\"10\"} 2\n"));
        assert!(page.0.contains("le=\"+Inf\"} 3\n"));
        assert!(page.0.ends_with("_sum{a=\"b\\\"\\\\\\n\"} 20.004\nx_seconds_count{a=\"b\\\"\\\\\\n\"} 3\n"));
    }
}
