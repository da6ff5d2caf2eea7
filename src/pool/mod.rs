//! The backends of one configuration and the claims on them.
//!
//! Four independent facts decide whether a backend takes a request (health here and now; admin state,
//! breaker and load join it later), and only [`Backend::available`] combines them; only [`Pool::lease`]
//! claims. Choosing is the [`Balancer`]'s, which `balance` provides: this module never names an
//! algorithm. No clock, no I/O and no threads: `now` is an argument.

pub mod backend;
pub mod balancer;
pub mod health;
pub mod lease;

use std::sync::Arc;

use parking_lot::RwLock;

pub use backend::Backend;
pub use balancer::{Balancer, ClientKey};
pub use lease::Lease;

use crate::config::Config;

/// One configuration's backends and the balancer that chooses among them.
pub struct Pool {
    backends: Vec<Arc<Backend>>,
    balancer: Box<dyn Balancer>,
}

/// The backends that one request has tried already.
#[derive(Debug, Default)]
pub struct Tried(Vec<u64>);

impl Tried {
    /// Adds a backend.
    pub fn add(&mut self, backend: &Backend) {
        self.0.push(backend.id());
    }

    /// Whether it is among them.
    pub fn has(&self, backend: &Backend) -> bool {
        self.0.contains(&backend.id())
    }
}

impl Pool {
    /// A pool of these backends, in the configuration's order.
    pub fn new(backends: Vec<Arc<Backend>>, balancer: Box<dyn Balancer>) -> Pool {
        Pool { backends, balancer }
    }

    /// All backends, in the configuration's order.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// How many backends can take a request now.
    pub fn available(&self) -> usize {
        self.backends.iter().filter(|backend| backend.available()).count()
    }

    /// Claims a backend for one attempt: one that was not tried yet while there is one, else any that
    /// is available. `None` where none is.
    pub fn lease(&self, client: &ClientKey, tried: &Tried) -> Option<Lease> {
        let mut candidates: Vec<&Arc<Backend>> = Vec::with_capacity(self.backends.len());
        let available = || self.backends.iter().filter(|backend| backend.available());
        candidates.extend(available().filter(|backend| !tried.has(backend)));
        if candidates.is_empty() {
            candidates.extend(available());
        }
        let chosen = match candidates.len() {
            0 => return None,
            count => self.balancer.pick(&candidates, client).min(count - 1),
        };
        Some(Lease::claim(candidates[chosen]))
    }
}

/// What one request sees from its start to its end, even while a reload swaps it for the next ones.
pub struct Live {
    /// The configuration that this was made from.
    pub config: Config,
    /// Its backends.
    pub pool: Pool,
}

/// The current [`Live`]; locked only to clone the `Arc`.
pub struct SharedLive(RwLock<Arc<Live>>);

impl SharedLive {
    /// Starts with this one.
    pub fn new(live: Live) -> SharedLive {
        SharedLive(RwLock::new(Arc::new(live)))
    }

    /// The current one. Takes the lock for the length of a pointer's copy.
    pub fn get(&self) -> Arc<Live> {
        Arc::clone(&self.0.read())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::pool::backend::tests::backends;

    struct First;
    impl Balancer for First {
        fn pick(&self, _: &[&Arc<Backend>], _: &ClientKey) -> usize {
            0
        }
    }

    fn client() -> ClientKey {
        ClientKey { address: IpAddr::V4(Ipv4Addr::LOCALHOST), is_retry: false }
    }

    #[test]
    fn an_untried_backend_is_preferred_and_a_tried_one_better_than_none() {
        let pool = Pool::new(backends(2), Box::new(First));
        let mut tried = Tried::default();
        let first = pool.lease(&client(), &tried).unwrap();
        tried.add(first.backend());
        let second = pool.lease(&client(), &tried).unwrap();
        assert_ne!(first.backend().id(), second.backend().id());
        tried.add(second.backend());
        assert!(pool.lease(&client(), &tried).is_some());
    }

    #[test]
    fn no_healthy_backend_means_no_lease() {
        let pool = Pool::new(backends(2), Box::new(First));
        for backend in pool.backends() {
            backend.set_unhealthy_for_test();
        }
        assert!(pool.lease(&client(), &Tried::default()).is_none());
        assert_eq!(pool.available(), 0);
    }
}
