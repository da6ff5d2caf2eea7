//! The interface between a pool and its algorithm.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Backend, Policy};

/// What a pool and its algorithm know of a client's request.
#[derive(Debug, Clone, Copy)]
pub struct ClientKey<'a> {
    /// The client's address: the peer's, or the one that a trusted proxy forwards.
    pub address: IpAddr,
    /// The value that `hash_key` names, if the request has it; without it, algorithms hash the address.
    pub key: Option<&'a [u8]>,
    /// The value of the request's sticky cookie. Used by the pool, not by algorithms.
    pub sticky: Option<&'a [u8]>,
    /// Whether this is a retry: it must not advance a rotation again.
    pub is_retry: bool,
    /// Replaces the pool's policy for this request. Used by the pool, not by algorithms.
    pub policy: Option<&'a Arc<Policy>>,
}

impl ClientKey<'_> {
    /// A client that is only known by its address.
    pub const fn of(address: IpAddr) -> ClientKey<'static> {
        ClientKey { address, key: None, sticky: None, is_retry: false, policy: None }
    }
}

/// A backend that may take this request now.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The backend.
    pub backend: &'a Arc<Backend>,
    /// Its index among all backends of the pool, in the configuration's order; independent of which are
    /// candidates.
    pub place: usize,
    /// Its weight times [`crate::pool::backend::FULL_SHARE`]; less during its slow start. Never 0.
    pub share: u32,
}

/// Chooses among the backends that may take a request now. Called once per attempt, from any worker, with no
/// lock held; must not block. State lives in atomics or a private Mutex.
pub trait Balancer: Send + Sync {
    /// `candidates` is never empty and keeps the configuration's order; returns an index into it.
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize;
}
