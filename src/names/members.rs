//! The rosters of all names whose addresses are separate backends, shared by the look-ups and by the code
//! that builds pools.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use log::Level::{Info, Warn};
use parking_lot::Mutex;

use super::resolver::Found;
use super::roster::{Change, Condition, Roster};
use crate::config::{Addresses, BackendConfig, BackendUrl, Config, PoolConfig};
use crate::logging::event;
use crate::metrics::operation::NameLife;
use crate::pool::{Backend, Endpoint, Live};

/// A configuration entry whose name resolves to one backend per address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The pool's name.
    pub pool: String,
    /// The configured URL.
    pub url: BackendUrl,
    /// `Each` or `Srv`.
    pub mode: Addresses,
}

/// See the module.
#[derive(Default)]
pub struct Members {
    rosters: Mutex<HashMap<Key, Roster>>,
    /// Backends whose address has left, and how long to remember them.
    parked: Mutex<Vec<(Arc<Backend>, Instant)>>,
    /// Whether pools must be rebuilt.
    is_stale: AtomicBool,
}

impl Key {
    /// The key of an entry whose addresses are separate backends; `None` for other entries.
    pub fn of(pool: &str, entry: &BackendConfig) -> Option<Key> {
        let is_one = entry.addresses == Addresses::One;
        (!is_one).then(|| Key { pool: pool.to_owned(), url: entry.url.clone(), mode: entry.addresses })
    }

    /// The keys of a configuration, each with its pool.
    pub fn all(config: &Config) -> impl Iterator<Item = (Key, &PoolConfig)> {
        config.all_pools().flat_map(|pool| {
            pool.backends.iter().filter_map(move |entry| Some((Key::of(&pool.name, entry)?, pool)))
        })
    }
}

impl Members {
    /// The name's addresses; `None` until its first answer. Takes a lock.
    pub fn endpoints(&self, key: &Key) -> Option<Vec<Endpoint>> {
        let rosters = self.rosters.lock();
        rosters
            .get(key)
            .filter(|roster| roster.is_known())
            .map(|roster| roster.endpoints().cloned().collect())
    }

    /// Whether the name has had an answer. Takes a lock.
    pub fn is_known(&self, key: &Key) -> bool {
        self.rosters.lock().get(key).is_some_and(Roster::is_known)
    }

    /// Records the result of a look-up, and logs changes. Takes a lock.
    pub fn note(&self, key: &Key, interval: Duration, result: Result<Found, String>, live: Option<&Live>) {
        let name = key.url.to_string();
        let conditions = conditions(key, live);
        let mut rosters = self.rosters.lock();
        let roster = rosters.entry(key.clone()).or_default();
        let found = match result {
            Ok(found) => found,
            Err(why) => {
                let (is_news, kept) = (roster.failed(why.clone()), roster.endpoints().count());
                drop(rosters);
                if is_news {
                    let fields: [(&str, &dyn std::fmt::Display); 3] =
                        [("name", &name), ("error", &why), ("addresses_kept", &kept)];
                    event(Warn, "names", "name not resolved", &fields);
                }
                return;
            }
        };
        let (was_known, had_left_out, left_out) = (roster.is_known(), roster.left_out(), found.left_out);
        let (change, had_failed) =
            roster.answered(found, Instant::now(), interval, condition_in(&conditions));
        let count = roster.endpoints().count();
        drop(rosters);
        self.is_stale.fetch_or(change.is_any() || !was_known, Relaxed);
        if had_failed && was_known {
            event(Info, "names", "name resolved again", &[("name", &name), ("addresses", &count)]);
        }
        if left_out > 0 && had_left_out == 0 {
            let fields: [(&str, &dyn std::fmt::Display); 3] =
                [("name", &name), ("used", &count), ("left_out", &left_out)];
            event(Warn, "names", "the name has more addresses than can be used", &fields);
        }
        tell(&name, &change, count);
    }

    /// Removes absent addresses whose time is up. Takes a lock.
    pub fn look(&self, live: &Live) {
        let now = Instant::now();
        for (key, pool) in Key::all(&live.config) {
            let conditions = conditions(&key, Some(live));
            let mut rosters = self.rosters.lock();
            let Some(roster) = rosters.get_mut(&key).filter(|roster| roster.absent() > 0) else { continue };
            let change = roster.look(now, pool.health_check.interval, condition_in(&conditions));
            let count = roster.endpoints().count();
            drop(rosters);
            self.is_stale.fetch_or(change.is_any(), Relaxed);
            tell(&key.url.to_string(), &change, count);
        }
    }

    /// Whether pools must be rebuilt; resets that.
    pub fn take_stale(&self) -> bool {
        self.is_stale.swap(false, Relaxed)
    }

    /// Forgets names that are not in this configuration. Takes a lock.
    pub fn keep_only(&self, config: &Config) {
        let keys: Vec<Key> = Key::all(config).map(|(key, _)| key).collect();
        self.rosters.lock().retain(|key, _| keys.contains(key));
    }

    /// Remembers a backend whose address has left. Takes a lock.
    pub fn park(&self, backend: Arc<Backend>, until: Instant) {
        self.parked.lock().push((backend, until));
    }

    /// Returns the remembered backend at this address, if there is one, and forgets it. Takes a lock.
    pub fn unpark(&self, endpoint: &Endpoint, entry: &BackendConfig) -> Option<Arc<Backend>> {
        let mut parked = self.parked.lock();
        let place = parked.iter().position(|(backend, _)| backend.is_at(endpoint, entry))?;
        Some(parked.swap_remove(place).0)
    }

    /// Returns the backends whose time is up, and forgets them. Takes a lock.
    pub fn forgotten(&self, now: Instant) -> Vec<Arc<Backend>> {
        let mut parked = self.parked.lock();
        parked.extract_if(.., |(_, until)| *until <= now).map(|(backend, _)| backend).collect()
    }

    /// The state of each name, in the configuration's order. Takes a lock.
    pub fn lives(&self, config: &Config) -> Vec<NameLife> {
        let rosters = self.rosters.lock();
        let life = |(key, _): (Key, &PoolConfig)| {
            let unknown = Roster::default();
            let roster = rosters.get(&key).unwrap_or(&unknown);
            NameLife {
                pool: key.pool.clone(),
                name: key.url.to_string(),
                addresses: roster.endpoints().count(),
                absent: roster.absent(),
                left_out: roster.left_out(),
                last_answer: roster.last_answer().and_then(|at| SystemTime::now().checked_sub(at.elapsed())),
                ttl: roster.ttl(),
                failure: roster.failure().map(str::to_owned),
            }
        };
        Key::all(config).map(life).collect()
    }
}

/// The condition of each address of a name.
fn conditions(key: &Key, live: Option<&Live>) -> Vec<(SocketAddr, Condition)> {
    let pool = live.and_then(|live| live.pools().iter().find(|pool| pool.config().name == key.pool));
    let name = key.url.to_string();
    let of_name = pool.into_iter().flat_map(|pool| pool.backends());
    let of_name = of_name.filter(|backend| backend.is_endpoint() && backend.configured_name() == name);
    let condition = |backend: &Arc<Backend>| match backend.is_usable() {
        false => Condition::Fails,
        true if backend.is_newcomer() => Condition::Unknown,
        true => Condition::Serves,
    };
    of_name.filter_map(|it| Some((*it.resolved_addresses().get().first()?, condition(it)))).collect()
}

fn condition_in(conditions: &[(SocketAddr, Condition)]) -> impl Fn(SocketAddr) -> Condition {
    |address| {
        let found = conditions.iter().find(|(known, _)| *known == address);
        found.map_or(Condition::Unknown, |(_, condition)| *condition)
    }
}

fn tell(name: &str, change: &Change, count: usize) {
    if change.is_any() {
        let fields: [(&str, &dyn std::fmt::Display); 4] =
            [("name", &name), ("came", &change.came), ("gone", &change.gone), ("addresses", &count)];
        event(Info, "names", "addresses changed", &fields);
    }
}
