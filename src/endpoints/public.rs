//! `/lb-metrics`, `/lb-health`, `/lb-ready` and `/lb-dashboard`.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::process;
use crate::explain::Explanations;
use crate::frontend::{ClientRequest, Framing};
use crate::http::{Headers, RequestHead, percent, request_id, status};
use crate::metrics::audit::{self, BackendFigures, Reading};
use crate::metrics::history::History;
use crate::metrics::json::{self, Gauges, View};
use crate::metrics::operation::{CertificateLife, LastReload, NameLife, Operation};
use crate::metrics::{Metrics, prometheus};
use crate::pool::{Backend, Live};
use crate::proxy::{End, Outcome};
use crate::traffic::Traffic;
use crate::workers::InFlight;

/// The dashboard's page, which loads nothing but `/lb-metrics`.
const DASHBOARD: &str = include_str!("dashboard.html");
/// Placeholder in the page for the nonce of each answer.
const NONCE: &str = "{nonce}";

/// Pause before an audit reads its figures again; longer than a runnable thread waits for a processor.
const AUDIT_PAUSE: Duration = Duration::from_millis(5);

/// The sources of the figures.
pub struct Figures {
    /// When the process started, by the monotonic and the system clock.
    pub started: (Instant, SystemTime),
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The samples of the last quarter of an hour.
    pub history: History,
    /// Bytes from and to clients.
    pub traffic: Arc<Traffic>,
    /// The recorded requests for `explain`; `None` without an admin listener.
    pub explanations: Option<Arc<Explanations>>,
    /// The requests in flight.
    pub in_flight: Arc<InFlight>,
    /// Number of requests waiting for a worker.
    pub queued: Box<dyn Fn() -> usize + Send + Sync>,
    /// Number of open client connections.
    pub client_connections: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Number of answers and tunnels outside the worker pool.
    pub streams: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Number of workers with a request.
    pub busy_workers: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The state of the configuration.
    pub reload: Box<dyn Fn() -> LastReload + Send + Sync>,
    /// The TLS listener's certificates.
    pub certificates: Box<dyn Fn() -> Vec<CertificateLife> + Send + Sync>,
    /// The state of names whose addresses are each a backend.
    pub names: Box<dyn Fn() -> Vec<NameLife> + Send + Sync>,
    /// Whether the process is draining.
    pub draining: Box<dyn Fn() -> bool + Send + Sync>,
}

pub(super) fn metrics(figures: &Figures, request: &mut ClientRequest, live: &Live) -> Outcome {
    let gauges = Gauges {
        uptime: figures.started.0.elapsed(),
        algorithm: live.config.default_pool.algorithm.to_string(),
        active_requests: figures.in_flight.handled(),
        queued_requests: (figures.queued)() as u64,
        client_connections: (figures.client_connections)(),
        streams: (figures.streams)(),
        draining: (figures.draining)(),
        received_bytes: figures.traffic.received(),
        sent_bytes: figures.traffic.sent(),
        operation: Operation {
            busy_workers: (figures.busy_workers)(),
            started: figures.started.1,
            reload: (figures.reload)(),
            certificates: (figures.certificates)(),
            names: (figures.names)(),
            process: process::read(),
            hostname: process::hostname(),
        },
    };
    if wants_prometheus(&request.head) {
        let page = prometheus::page(&figures.metrics.snapshot(), &gauges, live, figures.metrics.latency());
        return answer(request, 200, prometheus::CONTENT_TYPE, page.as_bytes());
    }
    let buckets = query(&request.head, "buckets").is_some();
    let mut page =
        json::page(&figures.metrics, &gauges, live, View::at(live, Instant::now()).with_buckets(buckets));
    if query(&request.head, "history").is_some() {
        page["history"] = figures.history.to_json(Instant::now());
    }
    if query(&request.head, "audit").is_some() {
        page["audit"] = audit::audit(|| reading(figures, live), || thread::park_timeout(AUDIT_PAUSE));
    }
    // Compact for programs, indented for people.
    let text = if buckets { format!("{page}\n") } else { format!("{page:#}\n") };
    answer(request, 200, "application/json", text.as_bytes())
}

fn reading(figures: &Figures, live: &Live) -> Reading {
    let in_flight = &figures.in_flight;
    let (answered, accepted, counted) =
        (in_flight.answered(), in_flight.accepted(), figures.metrics.snapshot());
    let of_backend = |backend: &Arc<Backend>| {
        // In this order: an attempt that ends in between is still counted, and one that begins does no harm.
        let (active, failures) = (u64::from(backend.active()), backend.total_failures());
        BackendFigures {
            name: backend.name().to_owned(),
            requests: backend.total_requests(),
            failures,
            active,
        }
    };
    let (listed, queued) = (in_flight.listed(), (figures.queued)() as u64);
    let (handled, own_pages) = (in_flight.handled(), in_flight.own_pages());
    let latencies = figures.metrics.latency().count();
    let backends = live.backends().map(of_backend).collect();
    let counted = (counted, figures.metrics.snapshot());
    Reading {
        answered: (answered, in_flight.answered()),
        accepted: (accepted, in_flight.accepted()),
        listed,
        queued,
        handled,
        own_pages,
        counted,
        latencies,
        backends,
        are_all_backends: !live.has_lost_backends(),
    }
}

/// Follows `format` in the query, or else the preference in `Accept`.
fn wants_prometheus(head: &RequestHead) -> bool {
    match query(head, "format").as_deref() {
        Some("prometheus") => return true,
        Some(_) => return false,
        None => {}
    }
    let text = preference(head, &["text/plain", "application/openmetrics-text"]);
    text > 0.0 && text > preference(head, &["application/json"])
}

/// The highest quality (RFC 9110 section 12.5.1) that `Accept` gives one of these types by name; 0 if it
/// names none.
fn preference(head: &RequestHead, kinds: &[&str]) -> f32 {
    let quality = |range: &[u8]| {
        let text = String::from_utf8_lossy(range).to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if kinds.contains(&kind) { quality } else { 0.0 }
    };
    head.headers.tokens("accept").map(quality).fold(0.0, f32::max)
}

/// The decoded value of a query parameter.
pub(super) fn query(head: &RequestHead, name: &str) -> Option<String> {
    let (_, query) = head.target.split_once('?')?;
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

/// Decodes `%xx` and `+` (form encoding); invalid sequences are kept.
fn decoded(text: &str) -> String {
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some((byte, width)) = percent::byte_at(text.as_bytes(), at) {
        // An encoded plus is one.
        bytes.push(if (byte, width) == (b'+', 1) { b' ' } else { byte });
        at += width;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn health(figures: &Figures, request: &mut ClientRequest, live: &Live) -> Outcome {
    if (figures.draining)() {
        unwell(request, "draining", b"draining\n")
    } else {
        ready(figures, request, live)
    }
}

/// Like `/lb-health`, but independent of a drain: says whether requests can be served, not whether more of
/// them should be sent.
pub(super) fn ready(_: &Figures, request: &mut ClientRequest, live: &Live) -> Outcome {
    // A configuration of redirects and answers alone needs no backend.
    let needs_none = live.config.all_pools().all(|pool| pool.backends.is_empty());
    if needs_none || live.backends().any(|backend| backend.is_usable()) {
        answer(request, 200, "text/plain; charset=utf-8", b"ok\n")
    } else {
        unwell(request, "no_healthy_backend", b"no backend can take a request\n")
    }
}

fn unwell(request: &mut ClientRequest, reason: &str, text: &[u8]) -> Outcome {
    let mut headers = Headers::default();
    headers.push("X-LB-Reason", reason.as_bytes());
    headers.push("Retry-After", status::RETRY_SOON.to_string().as_bytes());
    answer_with(request, 503, headers, "text/plain; charset=utf-8", text)
}

/// The dashboard, which draws the figures live.
pub(super) fn dashboard(_: &Figures, request: &mut ClientRequest, _: &Live) -> Outcome {
    // Only the page's own style and script have this nonce; a browser runs no others.
    let nonce = request_id::new();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut headers = Headers::default();
    headers.push("Content-Security-Policy", policy.as_bytes());
    headers.push("X-Content-Type-Options", b"nosniff");
    headers.push("Referrer-Policy", b"no-referrer");
    let page = DASHBOARD.replace(NONCE, &nonce);
    answer_with(request, 200, headers, "text/html; charset=utf-8", page.as_bytes())
}

pub(super) fn answer(request: &mut ClientRequest, status: u16, content_type: &str, body: &[u8]) -> Outcome {
    answer_with(request, status, Headers::default(), content_type, body)
}

pub(super) fn answer_with(
    request: &mut ClientRequest,
    status: u16,
    mut headers: Headers,
    content_type: &str,
    body: &[u8],
) -> Outcome {
    headers.push("Content-Type", content_type.as_bytes());
    headers.push("Cache-Control", b"no-store");
    headers.push("X-Request-ID", request.id.as_bytes());
    let responder = &mut request.responder;
    responder.start(status, &headers, Framing::Length(body.len() as u64));
    // A client that has left does not get it.
    let _ = responder.write(body).and_then(|()| responder.finish());
    Outcome { status, backend: None, pool: None, attempts: 0, end: End::Own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Version;

    fn head(target: &str, accept: &str) -> RequestHead {
        let mut headers = Headers::default();
        headers.push("Accept", accept.as_bytes());
        RequestHead { method: "GET".into(), target: target.into(), version: Version::Http11, headers }
    }

    #[test]
    fn the_format_is_the_query_s_else_what_accept_prefers() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (target, accept, expected) in [
            ("/lb-metrics", "*/*", false),
            ("/lb-metrics", "", false),
            ("/lb-metrics", "text/plain", true),
            ("/lb-metrics", prometheus, true),
            ("/lb-metrics", "application/json, text/plain;q=0.5", false),
            ("/lb-metrics?format=prometheus", "application/json", true),
            ("/lb-metrics?format=json", "text/plain", false),
        ] {
            assert_eq!(wants_prometheus(&head(target, accept)), expected, "{target} {accept}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let head = head("/backends/drain?a=b&url=http%3a%2F%2Flocalhost:3001&x=%zz+%4&y=%+f%-1%0F", "");
        assert_eq!(query(&head, "url").as_deref(), Some("http://localhost:3001"));
        assert_eq!(query(&head, "x").as_deref(), Some("%zz %4"));
        assert_eq!(query(&head, "y").as_deref(), Some("% f%-1\u{f}"));
        assert_eq!(query(&head, "none"), None);
    }
}
