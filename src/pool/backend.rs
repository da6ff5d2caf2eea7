//! One configured backend: where it is, how it is, what it has done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};

use super::health::{Flip, HealthTracker, Thresholds};
use crate::config::{BackendConfig, BackendUrl};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One configured backend. Shared by all workers; counters are relaxed, locks are held for a few
/// instructions and never together.
pub struct Backend {
    id: u64,
    config: BackendConfig,
    name: String,
    addresses: AddressBook,
    healthy: AtomicBool,
    health: Mutex<HealthTracker>,
    last_checked: Mutex<Option<SystemTime>>,
    active: AtomicU32,
    total_requests: AtomicU64,
    total_failures: AtomicU64,
}

/// The addresses that a backend's name stands for now; shared by whoever looks the name up and whoever
/// connects.
#[derive(Clone)]
pub struct AddressBook(Arc<RwLock<Arc<[SocketAddr]>>>);

impl Default for AddressBook {
    fn default() -> Self {
        AddressBook(Arc::new(RwLock::new(Arc::from([]))))
    }
}

impl AddressBook {
    /// In the order to try; empty while the name is unknown. Takes a lock.
    pub fn get(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.0.read())
    }

    /// Replaces them; says whether they changed. Takes a lock.
    pub fn set(&self, addresses: &[SocketAddr]) -> bool {
        let mut current = self.0.write();
        if **current == *addresses {
            return false;
        }
        *current = Arc::from(addresses);
        true
    }
}

impl Backend {
    /// A backend that is usable from the start. Its addresses come later, from whoever looks names up.
    pub fn new(config: BackendConfig) -> Backend {
        Backend {
            id: NEXT_ID.fetch_add(1, Relaxed),
            name: config.url.to_string(),
            config,
            addresses: AddressBook::default(),
            healthy: AtomicBool::new(true),
            health: Mutex::default(),
            last_checked: Mutex::new(None),
            active: AtomicU32::new(0),
            total_requests: AtomicU64::new(0),
            total_failures: AtomicU64::new(0),
        }
    }

    /// Unique in this process, never reused.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its URL, as in logs and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the configuration says of it.
    pub fn config(&self) -> &BackendConfig {
        &self.config
    }

    /// Host and port as they belong in a `Host` header.
    pub fn authority(&self) -> String {
        match &self.config.url {
            BackendUrl::Http { .. } | BackendUrl::Https { .. } => {
                self.name.split_once("://").map_or(self.name.as_str(), |(_, rest)| rest).to_owned()
            }
            BackendUrl::Unix { .. } => "localhost".to_owned(),
        }
    }

    /// Whether it may take a request now. The only place that combines the facts.
    pub fn available(&self) -> bool {
        self.is_healthy()
    }

    /// The verdict of the probes.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    /// What people are told.
    pub fn state(&self) -> &'static str {
        if self.is_healthy() { "healthy" } else { "unhealthy" }
    }

    /// Takes a probe's result in; says when the verdict changed. Takes a lock.
    pub fn observe_probe(&self, passed: bool, thresholds: &Thresholds, at: SystemTime) -> Option<Flip> {
        *self.last_checked.lock() = Some(at);
        let mut health = self.health.lock();
        let flip = health.observe(passed, thresholds);
        self.healthy.store(health.is_healthy(), Relaxed);
        flip
    }

    /// When the last probe ended. Takes a lock.
    pub fn last_checked(&self) -> Option<SystemTime> {
        *self.last_checked.lock()
    }

    /// Where to connect. The book stays up to date when it is kept.
    pub fn address_book(&self) -> AddressBook {
        self.addresses.clone()
    }

    /// Requests that it has now.
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// Attempts so far, those under way included.
    pub fn total_requests(&self) -> u64 {
        self.total_requests.load(Relaxed)
    }

    /// Attempts that failed.
    pub fn total_failures(&self) -> u64 {
        self.total_failures.load(Relaxed)
    }

    pub(super) fn begin(&self) {
        self.active.fetch_add(1, Relaxed);
        self.total_requests.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.active.fetch_sub(1, Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.total_failures.fetch_add(1, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn set_unhealthy_for_test(&self) {
        self.observe_probe(false, &Thresholds { healthy: 1, unhealthy: 1 }, SystemTime::UNIX_EPOCH);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn backends(count: u16) -> Vec<Arc<Backend>> {
        let backend = |index| {
            let url = BackendUrl::Http { host: "localhost".into(), port: 3000 + index };
            Arc::new(Backend::new(BackendConfig {
                url,
                weight: 1,
                max_connections: None,
                backup: false,
                ca: None,
            }))
        };
        (1..=count).map(backend).collect()
    }

    #[test]
    fn authority_leaves_the_default_port_out() {
        for (port, expected) in [(80, "localhost"), (8080, "localhost:8080"), (180, "localhost:180")] {
            let url = BackendUrl::Http { host: "localhost".into(), port };
            let config = BackendConfig { url, weight: 1, max_connections: None, backup: false, ca: None };
            assert_eq!(Backend::new(config).authority(), expected);
        }
    }

    #[test]
    fn the_address_book_says_whether_it_changed() {
        let book = backends(1)[0].address_book();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert!(book.set(&[address]));
        assert!(!book.set(&[address]));
        assert_eq!(*book.get(), [address]);
    }
}
