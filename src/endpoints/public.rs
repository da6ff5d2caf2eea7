//! `/lb-metrics` and `/lb-health`.

use std::sync::Arc;
use std::time::Instant;

use crate::frontend::{ClientRequest, Framing};
use crate::http::Headers;
use crate::metrics::Metrics;
use crate::metrics::json::{self, Gauges};
use crate::pool::Live;
use crate::proxy::{End, Outcome};
use crate::workers::InFlight;

/// Where the figures come from.
pub struct Figures {
    /// When the process started.
    pub started: Instant,
    /// What has happened.
    pub metrics: Arc<Metrics>,
    /// What is happening.
    pub in_flight: Arc<InFlight>,
    /// Requests that wait for a worker now.
    pub queued: Box<dyn Fn() -> usize + Send + Sync>,
    /// Open connections of clients now.
    pub client_connections: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Connections that are over but can't be let go.
    pub leaked_connections: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Answers and tunnels outside of the worker pool now.
    pub streams: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Whether a drain is under way.
    pub draining: Box<dyn Fn() -> bool + Send + Sync>,
}

pub(super) fn metrics(figures: &Figures, request: &mut ClientRequest, live: &Live) -> Outcome {
    let gauges = Gauges {
        uptime: figures.started.elapsed(),
        algorithm: live.config.default_pool.algorithm.to_string(),
        active_requests: figures.in_flight.active(),
        queued_requests: (figures.queued)() as u64,
        client_connections: (figures.client_connections)(),
        leaked_connections: (figures.leaked_connections)(),
        streams: (figures.streams)(),
    };
    let page = json::page(&figures.metrics.snapshot(), &gauges, &live.pool);
    let text = format!("{page:#}\n");
    answer(request, 200, "application/json", text.as_bytes())
}

pub(super) fn health(figures: &Figures, request: &mut ClientRequest, live: &Live) -> Outcome {
    if (figures.draining)() {
        answer(request, 503, "text/plain; charset=utf-8", b"draining\n")
    } else if live.pool.available() == 0 {
        answer(request, 503, "text/plain; charset=utf-8", b"no backend can take a request\n")
    } else {
        answer(request, 200, "text/plain; charset=utf-8", b"ok\n")
    }
}

fn answer(request: &mut ClientRequest, status: u16, content_type: &str, body: &[u8]) -> Outcome {
    let mut headers = Headers::default();
    headers.push("Content-Type", content_type.as_bytes());
    headers.push("Cache-Control", b"no-store");
    headers.push("X-Request-ID", request.id.as_bytes());
    let responder = &mut request.responder;
    responder.start(status, &headers, Framing::Length(body.len() as u64));
    // A client that is gone does not hear it.
    let _ = responder.write(body).and_then(|()| responder.finish());
    Outcome { status, backend: None, attempts: 0, end: End::Own }
}
