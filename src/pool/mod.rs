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
pub(crate) mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use std::time::SystemTime;

    use super::*;
    use crate::config::{Addresses, BackendConfig, BreakerConfig, Overrides, parse};
    use crate::pool::backend::tests::backends;

    struct First;
    impl Balancer for First {
        fn pick(&self, _: &[Candidate<'_>], _: &ClientKey<'_>) -> usize {
            0
        }
    }

    fn client() -> ClientKey<'static> {
        ClientKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// A pool of these backends with default settings.
    pub(crate) fn pool(backends: Vec<Arc<Backend>>, balancer: Box<dyn Balancer>) -> Pool {
        let config = parse("{}", &Overrides::default()).unwrap();
        let policy = Arc::new(Policy::new(&config));
        Pool::new(config.default_pool, backends, balancer, policy)
    }

    fn first_of(count: u16) -> Pool {
        pool(backends(count), Box::new(First))
    }

    fn lease(pool: &Pool, tried: &Tried) -> Result<Lease, NoLease> {
        pool.lease(&client(), tried, Instant::now())
    }

    #[test]
    fn an_untried_backend_is_preferred_and_a_tried_one_better_than_none() {
        let pool = first_of(2);
        let mut tried = Tried::default();
        let first = lease(&pool, &tried).unwrap();
        tried.add(first.backend());
        let second = lease(&pool, &tried).unwrap();
        assert_ne!(first.backend().id(), second.backend().id());
        tried.add(second.backend());
        assert!(lease(&pool, &tried).is_ok());
    }

    #[test]
    fn nothing_usable_means_no_lease() {
        let pool = first_of(3);
        pool.backends()[0].set_unhealthy_for_test();
        pool.backends()[1].set_admin(AdminState::Draining, Instant::now());
        pool.backends()[2].set_weight(0);
        assert_eq!(lease(&pool, &Tried::default()).err(), Some(NoLease::NoneUsable));
        assert_eq!(pool.usable(), 0);
    }

    #[test]
    fn a_backup_serves_only_when_no_other_can() {
        let pool = with_first(2, |config| config.backup = true);
        let id = |tried: &Tried| lease(&pool, tried).unwrap().backend().id();
        assert_eq!(id(&Tried::default()), pool.backends()[1].id());
        let mut tried = Tried::default();
        tried.add(&pool.backends()[1]);
        assert_eq!(id(&tried), pool.backends()[0].id(), "after the other has failed");
        pool.backends()[1].set_unhealthy_for_test();
        assert_eq!(id(&Tried::default()), pool.backends()[0].id());
    }

    /// A pool of `count` backends; `change` configures the first one.
    fn with_first(count: u16, change: impl Fn(&mut BackendConfig)) -> Pool {
        let mut all = backends(count);
        let url = all[0].url().clone();
        let mut config = BackendConfig {
            url,
            weight: 1,
            max_connections: None,
            backup: false,
            ca: None,
            addresses: Addresses::One,
        };
        change(&mut config);
        all[0] = Arc::new(all[0].successor(config, None));
        pool(all, Box::new(First))
    }

    #[test]
    fn no_more_than_max_connections_at_once() {
        let pool = with_first(1, |config| config.max_connections = Some(2));
        let held: Vec<_> = (0..2).map(|_| lease(&pool, &Tried::default()).unwrap()).collect();
        assert_eq!(lease(&pool, &Tried::default()).err(), Some(NoLease::AllFull));
        drop(held);
        assert!(lease(&pool, &Tried::default()).is_ok());
    }

    fn fail(pool: &Pool, index: usize, times: u32) {
        for _ in 0..times {
            let lease = pool.claim(&pool.policy, &pool.backends()[index], false, Instant::now());
            lease.expect("a place").failed(Instant::now());
        }
    }

    #[test]
    fn an_open_breaker_takes_nothing_unless_nothing_else_is_left() {
        let pool = first_of(2);
        fail(&pool, 0, 5);
        assert_eq!(pool.backends()[0].breaker_state(), BreakerState::Open);
        let id = || lease(&pool, &Tried::default()).unwrap().backend().id();
        assert_eq!(id(), pool.backends()[1].id());
        fail(&pool, 1, 5);
        assert_eq!(id(), pool.backends()[0].id(), "breakers never take out the last one");
    }

    #[test]
    fn a_newcomer_serves_where_nothing_better_is_left_and_its_failures_count() {
        let pool = first_of(3);
        let id = || lease(&pool, &Tried::default()).unwrap().backend().id();
        let [first, second, third] = [0, 1, 2].map(|index| pool.backends()[index].id());
        pool.backends()[0].joins();
        pool.backends()[1].joins();
        assert_eq!(id(), third, "it has been probed");
        fail(&pool, 2, 5);
        assert_eq!(id(), first, "a backend that is known to fail is the last");
        for _ in 0..5 {
            lease(&pool, &Tried::default()).unwrap().failed(Instant::now());
        }
        assert_eq!(pool.backends()[0].breaker_state(), BreakerState::Open);
        assert_eq!(id(), second);
        let full = with_first(2, |config| config.max_connections = Some(1));
        let _held = lease(&full, &Tried::default()).unwrap();
        full.backends()[1].joins();
        assert_eq!(
            lease(&full, &Tried::default()).err(),
            Some(NoLease::AllFull),
            "a place will be free soon"
        );
    }

    #[test]
    fn a_backend_that_comes_back_begins_anew_with_its_breaker() {
        let pool = first_of(1);
        fail(&pool, 0, 4);
        let mut success = lease(&pool, &Tried::default()).unwrap();
        success.answered(200, Duration::ZERO);
        pool.backends()[0].set_unhealthy_for_test();
        let thresholds = health::Thresholds { healthy: 1, unhealthy: 1 };
        pool.backends()[0].observe_probe(None, &thresholds, SystemTime::now(), Instant::now());
        fail(&pool, 0, 1);
        assert_eq!(
            pool.backends()[0].breaker_state(),
            BreakerState::Closed,
            "the four failures are forgotten"
        );
    }

    #[test]
    fn a_trial_that_is_dropped_leaves_the_next_one_free() {
        let pool = first_of(2);
        fail(&pool, 0, 5);
        let later = Instant::now() + Duration::from_secs(31);
        let trial = pool.lease(&client(), &Tried::default(), later).unwrap();
        assert_eq!(trial.backend().breaker_state(), BreakerState::HalfOpen);
        drop(trial);
        let mut trial = pool.lease(&client(), &Tried::default(), later).unwrap();
        assert_eq!(trial.backend().id(), pool.backends()[0].id());
        assert_eq!(trial.answered(200, Duration::ZERO), Some(BreakerState::Closed));
        let share = trial.backend().share(Duration::from_secs(10), later + Duration::from_secs(1));
        assert_eq!(share, backend::FULL_SHARE / 10, "slow start, where that is configured");
    }

    #[test]
    fn statuses_can_open_the_breaker() {
        let mut config = parse("{}", &Overrides::default()).unwrap();
        let breaker = BreakerConfig { on_status: vec![503], failures: 1, ..config.circuit_breaker.unwrap() };
        config.circuit_breaker = Some(breaker);
        let policy = Arc::new(Policy::new(&config));
        let pool = Pool::new(config.default_pool, backends(1), Box::new(First), policy);
        let mut lease = lease(&pool, &Tried::default()).unwrap();
        assert_eq!(lease.answered(503, Duration::ZERO), Some(BreakerState::Open));
    }

    #[test]
    fn a_sticky_cookie_keeps_to_its_backend_while_it_is_usable() {
        let pool = first_of(3);
        let value = pool.backends()[2].sticky_value().to_owned();
        let client = ClientKey { sticky: Some(value.as_bytes()), ..client() };
        let id = || pool.lease(&client, &Tried::default(), Instant::now()).unwrap().backend().id();
        assert_eq!(id(), pool.backends()[2].id());
        pool.backends()[2].set_unhealthy_for_test();
        assert_eq!(id(), pool.backends()[0].id());
    }
}
