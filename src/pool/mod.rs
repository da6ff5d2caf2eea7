//! The backends of one configuration and the claims on them.
//!
//! Four independent facts decide whether a backend takes a request: its admin state, its health, its breaker
//! and its load. Only [`Pool::lease`] combines them and claims. The choice is left to a [`Balancer`] from
//! `balance`: this module never names an algorithm. No I/O, no threads and no clock: `now` is an argument.

pub mod admin;
pub mod backend;
pub mod balancer;
pub mod breaker;
mod candidate_status;
mod flagged;
pub mod health;
mod homes;
pub mod lease;
pub mod live;
mod policy;
mod problem;
pub mod sticky;
pub mod wait_queue;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

pub use admin::AdminState;
pub use backend::{Backend, Endpoint, IdleSource, IdleTime, ResolvedAddresses, Trouble};
pub use balancer::{Balancer, Candidate, ClientKey};
pub use breaker::BreakerState;
pub use candidate_status::CandidateStatus;
pub use homes::Homes;
pub use lease::{Lease, Undecided};
pub use live::{Live, SharedLive};
pub use policy::Policy;
pub use problem::{Problem, ProblemKind};
pub use wait_queue::WaitQueue;

use crate::config::PoolConfig;

/// A set of backends and the balancer that chooses among them.
pub struct Pool {
    config: PoolConfig,
    backends: Vec<Arc<Backend>>,
    balancer: Box<dyn Balancer>,
    policy: Arc<Policy>,
    wait_queue: Arc<WaitQueue>,
}

/// The backends that one request has tried already.
#[derive(Debug, Default)]
pub struct Tried(Vec<u64>);

impl Tried {
    /// Adds a backend.
    pub fn add(&mut self, backend: &Backend) {
        self.0.push(backend.id());
    }

    /// Whether the request has tried this backend.
    pub fn has(&self, backend: &Backend) -> bool {
        self.0.contains(&backend.id())
    }
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLease {
    /// No backend can be used.
    NoneUsable,
    /// All usable backends have `max_connections` requests; a slot may become free.
    AllFull,
}

/// Preference among usable backends, the lowest first: the sum of the values below.
type Rank = u8;
/// The request has already tried it.
const TRIED: Rank = 2;
/// It is a backup.
const BACKUP: Rank = 1;
/// It has joined others and has not passed a probe yet: used only if all others have an open breaker.
const NEWCOMER: Rank = 4;
/// Its breaker is open: used last of all, because it is known to fail.
const PAST_BREAKER: Rank = 8;

impl Pool {
    /// A pool of these backends, in the configuration's order.
    pub fn new(
        config: PoolConfig,
        backends: Vec<Arc<Backend>>,
        balancer: Box<dyn Balancer>,
        policy: Arc<Policy>,
    ) -> Pool {
        Pool { config, backends, balancer, policy, wait_queue: Arc::default() }
    }

    /// The pool's configuration.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// All backends, in the configuration's order.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The policy for this client's requests: its rules' own or the pool's.
    pub fn policy<'a>(&'a self, client: &ClientKey<'a>) -> &'a Arc<Policy> {
        client.policy.unwrap_or(&self.policy)
    }

    /// Where requests wait while all usable backends are full.
    pub fn wait_queue(&self) -> &WaitQueue {
        &self.wait_queue
    }

    /// Keeps the wait queue of `earlier`, so that requests already waiting go before new ones. Not if this
    /// pool has new backends: requests from before the reload cannot use them.
    fn take_over_wait_queue(&mut self, earlier: &Pool) {
        let known: HashSet<u64> = earlier.backends.iter().map(|backend| backend.id()).collect();
        let is_known = |backend: &Arc<Backend>| known.contains(&backend.id());
        if self.backends.iter().all(is_known) {
            self.wait_queue = Arc::clone(&earlier.wait_queue);
        }
    }

    /// How many backends can take requests by health, admin state and weight.
    pub fn usable(&self) -> usize {
        self.backends.iter().filter(|backend| backend.is_usable()).count()
    }

    /// Claims a backend for one attempt: the one in the sticky cookie, else the balancer's choice among the
    /// best candidates. Backends not tried yet come before tried ones, and regular backends before backups;
    /// then come newcomers, and last backends with an open breaker. Neither of these two is used while another
    /// backend is only full.
    ///
    /// # Errors
    /// Why no backend could be claimed.
    pub fn lease(&self, client: &ClientKey<'_>, tried: &Tried, now: Instant) -> Result<Lease, NoLease> {
        let policy = self.policy(client);
        let (mut candidates, rank, is_any_full) = self.candidates(policy, tried, now);
        let past_breaker = rank >= PAST_BREAKER;
        if rank >= NEWCOMER && is_any_full {
            return Err(NoLease::AllFull);
        }
        if let Some(lease) = self.stick(&candidates, client, past_breaker, now) {
            return Ok(lease);
        }
        while !candidates.is_empty() {
            let chosen = self.balancer.pick(&candidates, client).min(candidates.len() - 1);
            let backend = candidates[chosen].backend;
            if let Some(lease) = self.claim(policy, backend, past_breaker, now) {
                return Ok(lease);
            }
            // Another worker took the last slot.
            candidates.remove(chosen);
        }
        let is_any_usable = is_any_full || self.usable() > 0;
        Err(if is_any_usable { NoLease::AllFull } else { NoLease::NoneUsable })
    }

    /// The backend that the balancer would choose for this client if all candidates had room. Claims nothing.
    pub fn would_pick(&self, client: &ClientKey<'_>, now: Instant) -> Option<&Arc<Backend>> {
        let (candidates, ..) = self.candidates(self.policy(client), &Tried::default(), now);
        if candidates.is_empty() {
            return None;
        }
        let chosen = self.balancer.pick(&candidates, client);
        candidates.get(chosen).map(|candidate| candidate.backend)
    }

    /// The candidates of the best rank, that rank, and whether any usable backend is full whose breaker
    /// admits requests.
    fn candidates(&self, policy: &Policy, tried: &Tried, now: Instant) -> (Vec<Candidate<'_>>, Rank, bool) {
        let mut candidates = Vec::with_capacity(self.backends.len());
        let (mut best, mut is_any_full) = (Rank::MAX, false);
        for (place, backend) in self.backends.iter().enumerate() {
            if !backend.is_usable() {
                continue;
            }
            let admits = policy.breaker.is_none() || backend.breaker_admits(now);
            if !backend.has_room() {
                is_any_full |= admits;
                continue;
            }
            let rank = BACKUP * Rank::from(backend.is_backup())
                + TRIED * Rank::from(tried.has(backend))
                + PAST_BREAKER * Rank::from(!admits)
                + NEWCOMER * Rank::from(backend.is_newcomer());
            if rank < best {
                best = rank;
                candidates.clear();
            }
            if rank == best {
                let share = backend.share(policy.slow_start, now);
                candidates.push(Candidate { backend, place, share });
            }
        }
        (candidates, best, is_any_full)
    }

    fn stick(
        &self,
        candidates: &[Candidate<'_>],
        client: &ClientKey<'_>,
        past_breaker: bool,
        now: Instant,
    ) -> Option<Lease> {
        let wanted = client.sticky?;
        let found =
            candidates.iter().find(|candidate| candidate.backend.sticky_value().as_bytes() == wanted)?;
        self.claim(self.policy(client), found.backend, past_breaker, now)
    }

    fn claim(
        &self,
        policy: &Arc<Policy>,
        backend: &Arc<Backend>,
        past_breaker: bool,
        now: Instant,
    ) -> Option<Lease> {
        Lease::claim(backend, (policy, &self.wait_queue), past_breaker, now)
    }
}

#[cfg(test)]
pub(crate) mod tests;
