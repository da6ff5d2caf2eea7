//! `timeouts`: all time limits.

use std::time::Duration;

use serde::Serialize;

use super::raw::Fields;
use super::read::{duration, duration_or_zero};
use super::write;

/// Longer than the 60 s for which common cloud load balancers keep idle connections to us: the side that
/// sends requests should close first, otherwise its next request may meet a closing connection. Also nginx's
/// default.
const CLIENT_IDLE: Duration = Duration::from_secs(75);

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeouts {
    /// Opening a connection to a backend, for all its addresses together.
    #[serde(serialize_with = "write::duration")]
    pub connect: Duration,
    /// One attempt up to the answer's head, then each wait for more of the body.
    #[serde(serialize_with = "write::duration")]
    pub request: Duration,
    /// Each wait for more of an event stream, or of an answer that has left the worker pool.
    #[serde(serialize_with = "write::duration")]
    pub stream: Duration,
    /// How long an idle connection to a backend is kept.
    #[serde(serialize_with = "write::duration")]
    pub backend_idle: Duration,
    /// How long a request waits for a worker, or for a backend below `max_connections`.
    #[serde(serialize_with = "write::duration")]
    pub queue: Duration,
    /// From the first byte of a request's head to its last.
    #[serde(serialize_with = "write::duration")]
    pub client_header: Duration,
    /// Each wait for more of a request's body.
    #[serde(serialize_with = "write::duration")]
    pub client_body: Duration,
    /// How long a kept-alive connection may be silent.
    #[serde(serialize_with = "write::duration")]
    pub client_idle: Duration,
    /// Each wait until a client accepts more of an answer.
    #[serde(serialize_with = "write::duration")]
    pub client_write: Duration,
    /// How long `/lb-health` answers 503 before the listener closes.
    #[serde(serialize_with = "write::duration")]
    pub pre_drain: Duration,
    /// Limit for the whole drain.
    #[serde(serialize_with = "write::duration")]
    pub drain: Duration,
    /// Interval at which backends' names are resolved again.
    #[serde(serialize_with = "write::duration")]
    pub resolve: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(2),
            request: Duration::from_secs(10),
            stream: Duration::from_secs(300),
            backend_idle: Duration::from_secs(4),
            queue: Duration::from_secs(5),
            client_header: Duration::from_secs(10),
            client_body: Duration::from_secs(30),
            client_idle: CLIENT_IDLE,
            client_write: Duration::from_secs(30),
            pre_drain: Duration::ZERO,
            drain: Duration::from_secs(30),
            resolve: Duration::from_secs(30),
        }
    }
}

/// Reads `timeouts`.
pub(super) fn timeouts(fields: &Fields<'_>) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: fields.value("connect", default.connect, duration),
        request: fields.value("request", default.request, duration),
        stream: fields.value("stream", default.stream, duration),
        backend_idle: fields.value("backend_idle", default.backend_idle, duration_or_zero),
        queue: fields.value("queue", default.queue, duration_or_zero),
        client_header: fields.value("client_header", default.client_header, duration),
        client_body: fields.value("client_body", default.client_body, duration),
        client_idle: fields.value("client_idle", default.client_idle, duration),
        client_write: fields.value("client_write", default.client_write, duration),
        pre_drain: fields.value("pre_drain", default.pre_drain, duration_or_zero),
        drain: fields.value("drain", default.drain, duration_or_zero),
        resolve: fields.value("resolve", default.resolve, duration),
    }
}
