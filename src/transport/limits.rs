//! Limits of one attempt.

use std::time::Duration;

/// Time and size limits of one attempt, from the configuration that the request sees.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time to open a connection, for all addresses together.
    pub connect: Duration,
    /// Time from the attempt's start, or from the last piece of request body sent, to the answer's complete
    /// head; then of each wait for more of the answer's body.
    pub request: Duration,
    /// Time of each wait for more of the request's body.
    pub client_body: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How many idle connections to a backend are kept.
    pub max_idle: usize,
}
