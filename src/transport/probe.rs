//! A health probe: the same way to the backend as any request, on a fresh connection.

use std::io::Read;
use std::time::Duration;

use super::opener::opener;
use super::ureq::{exchange, new_agent};
use super::{BackendReply, Limits, Outgoing, OutgoingBody};
use crate::config::{HealthCheckConfig, HealthCheckKind};
use crate::http::Headers;
use crate::pool::Backend;

/// How much of a body is searched for `expect_body`.
const MAX_BODY_BYTES: u64 = 64 << 10;

/// Probes the backend once.
///
/// # Errors
/// What was not as it should be, for people.
pub fn probe(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    match check.kind {
        HealthCheckKind::Tcp => connects(backend, check),
        HealthCheckKind::Http => answers(backend, check),
    }
}

fn limits(timeout: Duration) -> Limits {
    Limits { connect: timeout, request: timeout, idle: Duration::ZERO, max_idle: 0 }
}

/// For `https` a handshake belongs to it.
fn connects(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    opener(backend, check.port)(&limits(check.timeout)).map(drop).map_err(|error| error.to_string())
}

fn answers(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    let mut headers = Headers::default();
    let host = check.host.clone().unwrap_or_else(|| backend.authority());
    headers.push("Host", host.as_bytes());
    headers.push(
        "User-Agent",
        concat!("loadbalancer/", env!("CARGO_PKG_VERSION"), " (health check)").as_bytes(),
    );
    headers.push("Connection", b"close");
    let request = Outgoing {
        method: "GET",
        target: &check.path,
        headers: &headers,
        body: OutgoingBody::None,
        limits: limits(check.timeout),
        upgrade: false,
        fresh: true,
        watch: None,
    };
    let (agent, _) = new_agent(backend, check.port);
    let reply = exchange(&agent, request, false).map_err(|error| error.to_string())?;
    if !check.expect_status.contain(reply.status) {
        return Err(format!("status {}", reply.status));
    }
    check.expect_body.as_deref().map_or(Ok(()), |expected| has_body(reply, expected))
}

fn has_body(reply: BackendReply, expected: &str) -> Result<(), String> {
    let mut body = Vec::new();
    // What has come before an error counts.
    let end = reply.body.take(MAX_BODY_BYTES).read_to_end(&mut body);
    let found = body.windows(expected.len()).any(|part| part == expected.as_bytes());
    match (found, end) {
        (true, _) => Ok(()),
        (false, Ok(_)) => Err("the body is not as expected".to_owned()),
        (false, Err(error)) => Err(format!("the body broke off: {error}")),
    }
}
