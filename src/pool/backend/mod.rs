//! One configured backend: where it is, how it is, what it has done.

mod address_book;
mod breaker;
mod counts;
mod state;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use md5::{Digest, Md5};
use parking_lot::Mutex;

use super::admin::AdminState;
use super::breaker::Breaker;
use super::health::HealthTracker;
use crate::config::{BackendConfig, BackendUrl};
use crate::histogram::Histogram;
pub use address_book::AddressBook;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One configured backend. Shared by all workers and, while it stays configured, by one configuration
/// after the other; counters are relaxed, locks are held for a few instructions and never together.
pub struct Backend {
    id: u64,
    url: BackendUrl,
    ca: Option<String>,
    name: String,
    /// A digest of the name, the same in every process.
    digest: u128,
    /// What a sticky cookie says of it.
    sticky: OnceLock<String>,
    addresses: AddressBook,
    weight: AtomicU32,
    /// 0 for none.
    max_connections: AtomicU32,
    backup: AtomicBool,
    admin: AtomicU8,
    /// Whether `weight` was set by hand.
    weight_by_hand: AtomicBool,
    healthy: AtomicBool,
    health: Mutex<HealthTracker>,
    last_checked: Mutex<Option<SystemTime>>,
    /// When [`Backend::state`] last changed; `None` while it never has.
    changed: Mutex<Option<Instant>>,
    /// What the last probe that failed said.
    last_problem: Mutex<String>,
    breaker: Mutex<Breaker>,
    /// See [`Breaker::is_clean`]; spares the lock.
    breaker_is_clean: AtomicBool,
    /// When it came back; `None` once it has climbed to its full weight.
    back_since: Mutex<Option<Instant>>,
    is_climbing: AtomicBool,
    active: AtomicU32,
    total_requests: AtomicU64,
    total_failures: AtomicU64,
    latency: Histogram,
    /// Recent latency in microseconds, as the bits of an f64; 0 while there is none.
    recent_us: AtomicU64,
    answers: AtomicU32,
}

impl Backend {
    /// A backend that is usable from the start. Its addresses come later, from whoever looks names up.
    pub fn new(config: BackendConfig) -> Backend {
        let name = config.url.to_string();
        Backend {
            id: NEXT_ID.fetch_add(1, Relaxed),
            digest: u128::from_be_bytes(Md5::digest(&name).into()),
            name,
            url: config.url,
            ca: config.ca,
            sticky: OnceLock::new(),
            addresses: AddressBook::default(),
            weight: AtomicU32::new(config.weight),
            max_connections: AtomicU32::new(config.max_connections.unwrap_or(0)),
            backup: AtomicBool::new(config.backup),
            admin: AtomicU8::new(AdminState::Enabled as u8),
            weight_by_hand: AtomicBool::new(false),
            healthy: AtomicBool::new(true),
            health: Mutex::default(),
            last_checked: Mutex::new(None),
            changed: Mutex::new(None),
            last_problem: Mutex::default(),
            breaker: Mutex::default(),
            breaker_is_clean: AtomicBool::new(true),
            back_since: Mutex::new(None),
            is_climbing: AtomicBool::new(false),
            active: AtomicU32::new(0),
            total_requests: AtomicU64::new(0),
            total_failures: AtomicU64::new(0),
            latency: Histogram::default(),
            recent_us: AtomicU64::new(0),
            answers: AtomicU32::new(0),
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

    /// Where it is.
    pub fn url(&self) -> &BackendUrl {
        &self.url
    }

    /// The PEM file that replaces the system's roots, for `https`.
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// A digest of its URL: the same in every process, and nobody's address.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// See [`super::sticky`].
    pub fn sticky_value(&self) -> &str {
        self.sticky.get_or_init(|| super::sticky::value(self))
    }

    /// Whether a configuration means this very backend, so that it stays when that one is read.
    pub fn is_meant_by(&self, config: &BackendConfig) -> bool {
        self.url == config.url && self.ca == config.ca
    }

    /// Takes over what a newer configuration says, and drops what was set by hand.
    pub fn reconfigure(&self, config: &BackendConfig, now: Instant) {
        self.weight.store(config.weight, Relaxed);
        self.weight_by_hand.store(false, Relaxed);
        self.max_connections.store(config.max_connections.unwrap_or(0), Relaxed);
        self.backup.store(config.backup, Relaxed);
        self.set_admin(AdminState::Enabled, now);
    }

    /// Its share of the requests; 0 takes none.
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// Sets the weight by hand, until the configuration is read again.
    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Relaxed);
        self.weight_by_hand.store(true, Relaxed);
    }

    /// The weight, where it was set by hand.
    pub fn weight_by_hand(&self) -> Option<u32> {
        self.weight_by_hand.load(Relaxed).then(|| self.weight())
    }

    /// Most requests at once.
    pub fn max_connections(&self) -> Option<u32> {
        Some(self.max_connections.load(Relaxed)).filter(|most| *most > 0)
    }

    /// Whether it serves only when no other backend of its pool can.
    pub fn is_backup(&self) -> bool {
        self.backup.load(Relaxed)
    }

    /// Whether people have changed its state or weight since the configuration was read.
    pub fn is_set_by_hand(&self) -> bool {
        self.admin() != AdminState::Enabled || self.weight_by_hand.load(Relaxed)
    }

    /// Host and port as they belong in a `Host` header.
    pub fn authority(&self) -> String {
        match &self.url {
            BackendUrl::Http { .. } | BackendUrl::Https { .. } => {
                self.name.split_once("://").map_or(self.name.as_str(), |(_, rest)| rest).to_owned()
            }
            BackendUrl::Unix { .. } => "localhost".to_owned(),
        }
    }

    /// Where to connect. The book stays up to date when it is kept.
    pub fn address_book(&self) -> AddressBook {
        self.addresses.clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pool::health::Thresholds;

    impl Backend {
        pub(crate) fn set_unhealthy_for_test(&self) {
            let thresholds = Thresholds { healthy: 1, unhealthy: 1 };
            self.observe_probe(Some("test"), &thresholds, SystemTime::UNIX_EPOCH, Instant::now());
        }
    }

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
}
