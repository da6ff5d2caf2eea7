//! Limits for clients, from the configuration in force.

use std::time::Duration;

/// Limits for a listener's clients; read for each use, so that a reload takes effect.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// From a head's first byte to its last; the same for a PROXY header, and for a TLS handshake.
    pub client_header: Duration,
    /// How long a connection may be silent between requests.
    pub client_idle: Duration,
    /// How long a worker waits for more of a body.
    pub client_body: Duration,
    /// How long a client may take nothing of its answer.
    pub client_write: Duration,
    /// Size of a head.
    pub max_header_bytes: usize,
    /// Concurrent connections.
    pub max_connections: usize,
    /// Concurrent connections of one address; an IPv6 /64 counts as one.
    pub max_connections_per_ip: Option<usize>,
}
