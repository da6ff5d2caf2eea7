//! The one question that a pool asks an algorithm.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Backend, Policy};

/// What an algorithm may know of the client and its request.
#[derive(Debug, Clone, Copy)]
pub struct ClientKey<'a> {
    /// The client's address: the peer's, or behind a trusted proxy what that one says.
    pub address: IpAddr,
    /// What `hash_key` names, where the request has it; else the address serves.
    pub key: Option<&'a [u8]>,
    /// What the request's sticky cookie says; the pool's business, not an algorithm's.
    pub sticky: Option<&'a [u8]>,
    /// Whether a backend was tried already: a turn that was taken is not taken again.
    pub is_retry: bool,
    /// What holds for it instead of what holds for the pool; the pool's business, too.
    pub policy: Option<&'a Arc<Policy>>,
}

impl ClientKey<'_> {
    /// A client that is known by its address only.
    pub const fn of(address: IpAddr) -> ClientKey<'static> {
        ClientKey { address, key: None, sticky: None, is_retry: false, policy: None }
    }
}

/// A backend that may take this request now.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The backend.
    pub backend: &'a Arc<Backend>,
    /// Its index in the configuration's order, which stays the same while others come and go.
    pub place: usize,
    /// Its weight, times [`crate::pool::backend::FULL_SHARE`]; less during its slow start, after it has come back. Never 0.
    pub share: u32,
}

/// Chooses among the backends that may take this request now. Called once an attempt, from any
/// worker, with no lock held; must not block. What it remembers lives in atomics or a private Mutex.
pub trait Balancer: Send + Sync {
    /// `candidates` is never empty and keeps the configuration's order; returns an index into it.
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize;
}
