//! What one request sees from its start to its end, even while a reload swaps it for the next ones.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use md5::{Digest, Md5};
use parking_lot::RwLock;

use super::{Backend, Policy, Pool};
use crate::config::{Addresses, BackendConfig, BackendUrl, Config};
use crate::rules::{Book, Rules};

/// One configuration with its pools.
pub struct Live {
    /// The configuration that this was made from.
    pub config: Config,
    pools: Vec<Pool>,
    book: Book,
    /// For the rules of the same number, where they have a breaker of their own.
    policies: Vec<Option<Arc<Policy>>>,
    /// Services that are asked who may pass, for the rules of the same number.
    auth_services: Vec<Option<Arc<Backend>>>,
    /// Whether a backend of an earlier configuration is not among them.
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

    /// The one that follows `previous`; a pool that stays keeps the line of those that wait, where it can.
    pub fn after(mut self, previous: &Live) -> Live {
        for pool in &mut self.pools {
            if let Some(earlier) = previous.pools.iter().find(|it| it.config().name == pool.config().name) {
                pool.take_over_wait_queue(earlier);
            }
        }
        for service in self.auth_services.iter_mut().flatten() {
            let is_it = |earlier: &&Arc<Backend>| earlier.name() == service.name();
            // With its connections, and the addresses of its name.
            if let Some(earlier) = previous.auth_services().find(is_it) {
                *service = Arc::clone(earlier);
            }
        }
        let ids: HashSet<u64> = self.backends().map(|backend| backend.id()).collect();
        let have_all_stayed = previous.backends().all(|backend| ids.contains(&backend.id()));
        self.has_lost_backends = previous.has_lost_backends || !have_all_stayed;
        self
    }

    /// Whether a backend of an earlier configuration is not among those of this one.
    pub fn has_lost_backends(&self) -> bool {
        self.has_lost_backends
    }

    /// A hash of what the configuration resolves to, its secrets left out: who runs several can see whether all
    /// have the same one.
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

    /// What holds for requests.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The breaker, and the like, of the rules of this number, where they have their own.
    pub fn policy(&self, rules: usize) -> Option<&Arc<Policy>> {
        self.policies.get(rules)?.as_ref()
    }

    /// The service that is asked who may pass by the rules of this number.
    pub fn auth_service(&self, rules: usize) -> Option<&Arc<Backend>> {
        self.auth_services.get(rules)?.as_ref()
    }

    /// All of them.
    pub fn auth_services(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.auth_services.iter().flatten()
    }

    /// The name of the pool at this place.
    pub fn pool_name(&self, index: usize) -> &str {
        self.pools.get(index).map_or("", |pool| &pool.config().name)
    }

    /// The backends of all pools.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.pools.iter().flat_map(|pool| pool.backends())
    }
}

/// Whom these rules have asked who may pass.
fn service(rules: &Rules) -> Option<Backend> {
    let url = &rules.access.forward_auth.as_ref()?.url;
    let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
    let url = BackendUrl::parse(&origin.join("/")).ok()?;
    let addresses = Addresses::One;
    Some(Backend::new(BackendConfig {
        url,
        weight: 1,
        max_connections: None,
        backup: false,
        ca: None,
        addresses,
    }))
}

/// The current [`Live`]; locked only to clone or swap the `Arc`.
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

    /// From now on this is the current one; requests under way keep theirs. Takes the lock.
    pub fn set(&self, live: Arc<Live>) {
        *self.0.write() = live;
    }
}
