//! What a request sees from start to end, even if a reload replaces it meanwhile.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use md5::{Digest, Md5};
use parking_lot::RwLock;

use super::{Backend, Policy, Pool};
use crate::config::{BackendConfig, Config};
use crate::rules::{Book, Rules};

/// A configuration with its pools.
pub struct Live {
    /// The configuration this was built from.
    pub config: Config,
    pools: Vec<Pool>,
    book: Book,
    /// By index of the rules: the policy of those that have a breaker of their own.
    policies: Vec<Option<Arc<Policy>>>,
    /// By index of the rules: the service that forward auth asks.
    auth_services: Vec<Option<Arc<Backend>>>,
    /// Whether a backend of an earlier configuration is gone.
    has_lost_backends: bool,
    /// See [`Live::config_hash`].
    hash: OnceLock<String>,
}

impl Live {
    /// `pools` begins with the pool `default`.
    pub fn new(config: Config, pools: Vec<Pool>) -> Live {
        let book = Book::new(&config);
        let policy = |rules: &Rules| Some(Arc::new(Policy::with(&config, rules.own_breaker.clone()?)));
        let policies = book.iter().map(policy).collect();
        let auth_services = book.iter().map(|rules| service(rules).map(Arc::new)).collect();
        Live { config, pools, book, policies, auth_services, has_lost_backends: false, hash: OnceLock::new() }
    }

    /// Continues `previous`: keeps the wait queues of its pools, where possible, and its auth services.
    pub fn after(mut self, previous: &Live) -> Live {
        for pool in &mut self.pools {
            if let Some(earlier) = previous.pools.iter().find(|it| it.config().name == pool.config().name) {
                pool.take_over_wait_queue(earlier);
            }
        }
        for service in self.auth_services.iter_mut().flatten() {
            let is_it =
                |earlier: &&Arc<Backend>| earlier.name() == service.name() && earlier.ca() == service.ca();
            // Keeps its connections and resolved addresses.
            if let Some(earlier) = previous.auth_services().find(is_it) {
                *service = Arc::clone(earlier);
            }
        }
        let ids: HashSet<u64> = self.backends().map(|backend| backend.id()).collect();
        let have_all_stayed = previous.backends().all(|backend| ids.contains(&backend.id()));
        self.has_lost_backends = previous.has_lost_backends || !have_all_stayed;
        self
    }

    /// Whether a backend of any earlier configuration is gone.
    pub fn has_lost_backends(&self) -> bool {
        self.has_lost_backends
    }

    /// A hash of the resolved configuration without its secrets, to compare several balancers.
    pub fn config_hash(&self) -> &str {
        const SHOWN_DIGITS: usize = 16;
        self.hash.get_or_init(|| {
            let text = self.config.without_secrets().to_json().to_string();
            let digest = u128::from_be_bytes(Md5::digest(text).into());
            format!("{digest:032x}")[..SHOWN_DIGITS].to_owned()
        })
    }

    /// The pool `default`.
    pub fn default_pool(&self) -> &Pool {
        &self.pools[0]
    }

    /// All pools, `default` first.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The rules for requests.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The policy of the rules with this index, if they have a breaker of their own.
    pub fn policy(&self, rules: usize) -> Option<&Arc<Policy>> {
        self.policies.get(rules)?.as_ref()
    }

    /// The forward-auth service of the rules with this index.
    pub fn auth_service(&self, rules: usize) -> Option<&Arc<Backend>> {
        self.auth_services.get(rules)?.as_ref()
    }

    /// The forward-auth services of all rules.
    pub fn auth_services(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.auth_services.iter().flatten()
    }

    /// The name of the pool with this index.
    pub fn pool_name(&self, index: usize) -> &str {
        self.pools.get(index).map_or("", |pool| &pool.config().name)
    }

    /// The backends of all pools.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.pools.iter().flat_map(|pool| pool.backends())
    }
}

/// The forward-auth service of these rules, as a backend.
fn service(rules: &Rules) -> Option<Backend> {
    let auth = rules.access.forward_auth.as_ref()?;
    Some(Backend::new(BackendConfig { ca: auth.ca.clone(), ..BackendConfig::at(auth.origin()?) }))
}

/// The current [`Live`]. Its lock is held only to clone or swap the `Arc`.
pub struct SharedLive(RwLock<Arc<Live>>);

impl SharedLive {
    /// Starts with this one.
    pub fn new(live: Live) -> SharedLive {
        SharedLive(RwLock::new(Arc::new(live)))
    }

    /// The current configuration. Takes the lock to clone the `Arc`.
    pub fn get(&self) -> Arc<Live> {
        Arc::clone(&self.0.read())
    }

    /// Replaces the current configuration; requests in progress keep theirs. Takes the lock.
    pub fn set(&self, live: Arc<Live>) {
        *self.0.write() = live;
    }
}
