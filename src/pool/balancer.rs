//! The one question that a pool asks an algorithm.

use std::net::IpAddr;
use std::sync::Arc;

use super::Backend;

/// What an algorithm may know of the client and its request.
#[derive(Debug, Clone, Copy)]
pub struct ClientKey {
    /// The client's address: the peer's, or behind a trusted proxy what that one says.
    pub address: IpAddr,
    /// Whether a backend was tried already: a turn that was taken is not taken again.
    pub is_retry: bool,
}

/// Chooses among the backends that may take this request now. Called once an attempt, from any
/// worker, with no lock held; must not block. What it remembers lives in atomics or a private Mutex.
pub trait Balancer: Send + Sync {
    /// `candidates` is never empty and keeps the configuration's order; returns an index into it.
    fn pick(&self, candidates: &[&Arc<Backend>], client: &ClientKey) -> usize;
}
