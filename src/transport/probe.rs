//! A health check that only opens a connection.

use std::time::Duration;

use super::Limits;
use super::opener::opener;
use crate::config::HealthCheckConfig;
use crate::pool::Backend;

/// Opens a connection and closes it. For `https` a handshake belongs to it.
///
/// # Errors
/// What was not as it should be, for people.
pub fn connects(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    let timeout = check.timeout;
    let limits = Limits {
        connect: timeout,
        request: timeout,
        client_body: timeout,
        idle: Duration::ZERO,
        max_idle: 0,
    };
    opener(backend, check.port)(&limits).map(drop).map_err(|error| error.to_string())
}
