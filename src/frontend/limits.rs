//! What clients may take: time and number, as the configuration in force says.

use std::time::Duration;

/// Limits of connections; asked for again and again, so that a reload takes effect.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// From a head's first byte to its last; also a PROXY header and a TLS handshake together.
    pub client_header: Duration,
    /// How long a connection may be silent between requests.
    pub client_idle: Duration,
    /// How long a body may not grow while a worker waits for it.
    pub client_body: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub client_write: Duration,
    /// A head's size.
    pub max_header_bytes: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_ip: Option<usize>,
}
