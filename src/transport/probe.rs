//! A health probe: the same way to the backend as any request, on a fresh connection.

use std::time::Duration;

use super::ureq::{exchange, new_agent};
use super::{AttemptError, Limits, Outgoing, OutgoingBody};
use crate::http::Headers;
use crate::pool::Backend;

/// Asks for `path` on a connection of its own; the answer's status.
///
/// # Errors
/// As for any attempt; `timeout` bounds the whole of it up to the answer's head.
pub fn status(backend: &Backend, path: &str, timeout: Duration) -> Result<u16, AttemptError> {
    let mut headers = Headers::default();
    headers.push("Host", backend.authority().as_bytes());
    headers.push(
        "User-Agent",
        concat!("loadbalancer/", env!("CARGO_PKG_VERSION"), " (health check)").as_bytes(),
    );
    headers.push("Connection", b"close");
    let limits = Limits { connect: timeout, request: timeout, idle: Duration::ZERO, max_idle: 0 };
    let request = Outgoing {
        method: "GET",
        target: path,
        headers: &headers,
        body: OutgoingBody::None,
        limits,
        upgrade: false,
        fresh: true,
        watch: None,
    };
    exchange(&new_agent(backend), request, false).map(|reply| reply.status)
}
