//! What one attempt may take.

use std::time::Duration;

/// Time and size limits of one attempt, from the configuration that the request sees.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To open a connection, all addresses together.
    pub connect: Duration,
    /// From the attempt's start (or the last bit of request body passed on) to the answer's whole
    /// head; then each wait for more of the answer's body.
    pub request: Duration,
    /// Each wait for more of the request's body.
    pub client_body: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How many idle connections are kept to a backend.
    pub max_idle: usize,
}
