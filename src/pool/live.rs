//! What one request sees from its start to its end, even while a reload swaps it for the next ones.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use md5::{Digest, Md5};
use parking_lot::RwLock;

use super::routes::Routes;
use super::{Backend, Pool};
use crate::config::{Config, Unmatched};
use crate::http::RequestHead;

/// One configuration with its pools.
pub struct Live {
    /// The configuration that this was made from.
    pub config: Config,
    pools: Vec<Pool>,
    routes: Routes,
    /// Whether a backend of an earlier configuration is not among them.
    has_lost_backends: bool,
    /// See [`Live::config_hash`].
    hash: OnceLock<String>,
}

impl Live {
    /// `pools` begins with the pool `default`.
    pub fn new(config: Config, pools: Vec<Pool>) -> Live {
        let index = |name: &str| pools.iter().position(|pool| pool.config().name == name);
        let routes = Routes::new(&config.routes, index);
        Live { config, pools, routes, has_lost_backends: false, hash: OnceLock::new() }
    }

    /// The one that follows `previous`; a pool that stays keeps the line of those that wait, where it can.
    pub fn after(mut self, previous: &Live) -> Live {
        for pool in &mut self.pools {
            if let Some(earlier) = previous.pools.iter().find(|it| it.config().name == pool.config().name) {
                pool.take_over_line(earlier);
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

    /// The pool that this request belongs to, by its place in [`Live::pools`].
    ///
    /// # Errors
    /// No route takes it, and then it is to be answered with this status.
    pub fn pool_index(&self, head: &RequestHead) -> Result<usize, u16> {
        match (self.routes.find(head), self.config.unmatched) {
            (Some(index), _) => Ok(index),
            (None, Unmatched::Default) => Ok(0),
            (None, Unmatched::Refused(status)) => Err(status),
        }
    }

    /// The pool that this request belongs to.
    ///
    /// # Errors
    /// No route takes it, and then it is to be answered with this status.
    pub fn pool_for(&self, head: &RequestHead) -> Result<&Pool, u16> {
        self.pool_index(head).map(|index| &self.pools[index])
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
