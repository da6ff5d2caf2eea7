//! `limits`: all limits of sizes and numbers.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::raw::{Fields, Scalar, Value};
use super::read::{size, whole};
use super::write;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Upper bound for limits of connections and waiting requests, more than one process can have.
pub(super) const MOST_CONNECTIONS: usize = 1_000_000;
/// Each stream needs a thread.
const MOST_STREAMS: usize = 65_536;
const HEADER_BYTES: RangeInclusive<u64> = KIB..=MIB;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limits {
    /// Concurrent client connections.
    pub max_connections: usize,
    /// Concurrent client connections from one address (an IPv6 /64 counts as one).
    pub max_connections_per_ip: Option<usize>,
    /// Requests waiting for a worker; also the limit of each pool's wait queue.
    pub max_queue: usize,
    /// Concurrent streams and tunnels outside the worker pool.
    pub max_streams: usize,
    /// Size of a request's head.
    #[serde(serialize_with = "write::size")]
    pub max_header_bytes: usize,
    /// Size of a request's body.
    #[serde(serialize_with = "write::optional_size")]
    pub max_body_bytes: Option<u64>,
    /// Idle connections kept for each backend.
    pub max_idle_per_backend: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 4096,
            max_connections_per_ip: None,
            max_queue: 1024,
            max_streams: 1024,
            max_header_bytes: 32 * KIB as usize,
            max_body_bytes: None,
            max_idle_per_backend: 128,
        }
    }
}

/// Reads `limits`.
pub(super) fn limits(fields: &Fields<'_>) -> Limits {
    let (default, connections) = (Limits::default(), || whole(1..=MOST_CONNECTIONS));
    let head = fields.value("max_header_bytes", default.max_header_bytes as u64, size(HEADER_BYTES));
    Limits {
        max_connections: fields.value("max_connections", default.max_connections, connections()),
        max_connections_per_ip: fields.nullable(
            "max_connections_per_ip",
            default.max_connections_per_ip,
            connections(),
        ),
        max_queue: fields.value("max_queue", default.max_queue, whole(0..=MOST_CONNECTIONS)),
        max_streams: fields.value("max_streams", default.max_streams, whole(0..=MOST_STREAMS)),
        max_header_bytes: head as usize,
        max_body_bytes: fields.value("max_body_bytes", default.max_body_bytes, max_body_bytes),
        max_idle_per_backend: fields.value(
            "max_idle_per_backend",
            default.max_idle_per_backend,
            whole(0..=MOST_CONNECTIONS),
        ),
    }
}

/// Reads the only limit that pools and routes may set themselves; null means none.
pub(super) fn max_body_bytes(value: &Value<'_>) -> Result<Option<u64>, String> {
    match value.scalar() {
        Scalar::Null => Ok(None),
        _ => size(0..=u64::MAX)(value).map(Some),
    }
}
