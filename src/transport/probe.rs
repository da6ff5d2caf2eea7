//! Sends health checks to a backend, like requests but each on its own connection.

use std::sync::Arc;
use std::time::Duration;

use super::dialer::dialer;
use super::exchange::exchange;
use super::idle::ConnectionPool;
use super::{AttemptError, BackendReply, Limits, Outgoing};
use crate::client_side::NoClient;
use crate::config::HealthCheckConfig;
use crate::http::{BodyLength, Headers};
use crate::pool::Backend;

fn limits(timeout: Duration) -> Limits {
    Limits { connect: timeout, request: timeout, client_body: timeout, idle: Duration::ZERO, max_idle: 0 }
}

/// Opens a connection and closes it. For `https` this includes the handshake.
///
/// # Errors
/// What went wrong, for people.
pub fn connects(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    let limits = limits(check.timeout);
    dialer(backend, check.port)(&limits).map(drop).map_err(|error| error.to_string())
}

/// Sends a GET for the path of the check, with these fields.
///
/// # Errors
/// As a [`Transport`](super::Transport)'s.
pub fn ask(
    backend: &Backend,
    check: &HealthCheckConfig,
    headers: &Headers,
) -> Result<BackendReply, AttemptError> {
    // Probes are not counted as the backend's traffic.
    let (open, book) = (dialer(backend, check.port), backend.resolved_addresses());
    let link = Arc::new(ConnectionPool::new(open, book, Arc::default(), Arc::default()));
    let request = Outgoing {
        method: "GET",
        target: &check.path,
        headers,
        length: BodyLength::None,
        client: &mut NoClient,
        limits: limits(check.timeout),
        upgrade: false,
        fresh: true,
        repeatable: false,
        watch: None,
    };
    exchange(&link, request)
}
