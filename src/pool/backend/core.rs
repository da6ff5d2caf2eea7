//! The type itself; how it is and what it has done are the siblings'.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use md5::{Digest, Md5};
use parking_lot::Mutex;

use super::hand_weight::HandWeight;
use super::idle_time::IdleTime;
use super::resolved_addresses::ResolvedAddresses;
use super::trouble::Trouble;
use crate::config::{BackendConfig, BackendUrl};
use crate::histogram::Histogram;
use crate::pool::admin::AdminState;
use crate::pool::breaker::Breaker;
use crate::pool::flagged::Flagged;
use crate::pool::health::HealthTracker;
use crate::pool::sticky;
use crate::traffic::Traffic;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One configured backend, as one configuration has it. Shared by all workers. What a configuration says of
/// it is its own, so that a newer one can be built while this one serves; what the backend has done and how
/// it is, is kept from one to the next ([`Backend::successor`]). Counters are relaxed, locks are held for a
/// few instructions and never together.
pub struct Backend {
    pub(super) url: BackendUrl,
    pub(super) ca: Option<String>,
    /// What this configuration says; what counts is [`Backend::weight`].
    pub(super) configured_weight: u32,
    pub(super) max_connections: Option<u32>,
    pub(super) backup: bool,
    /// Whether it is one address of a configured name.
    pub(super) is_endpoint: bool,
    pub(super) sticky_key: Option<String>,
    /// What a sticky cookie says of it, once somebody has asked.
    pub(super) sticky: OnceLock<String>,
    pub(super) kept: Arc<Kept>,
}

/// What a backend keeps while it stays configured.
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) name: String,
    /// The URL in the configuration, which is its name unless it is one address of several.
    pub(super) configured: String,
    /// Whether no probe has passed yet of one that has joined others which serve.
    pub(super) is_newcomer: AtomicBool,
    /// A digest of the name, the same in every process.
    pub(super) digest: u128,
    pub(super) addresses: ResolvedAddresses,
    pub(super) idle_time: Arc<IdleTime>,
    pub(super) admin: AtomicU8,
    pub(super) weight_by_hand: HandWeight,
    pub(super) healthy: AtomicBool,
    pub(super) health: Mutex<HealthTracker>,
    pub(super) last_checked: Mutex<Option<SystemTime>>,
    /// When [`Backend::state`] last changed; `None` while it never has.
    pub(super) changed: Mutex<Option<Instant>>,
    /// What the last probe that failed said; `None` while it is healthy and its probes pass.
    pub(super) trouble: Mutex<Option<Trouble>>,
    /// Clean while it is closed and has no failure noted.
    pub(super) breaker: Flagged<Breaker>,
    /// When it came back; `None` once it has its full weight.
    pub(super) back_since: Mutex<Option<Instant>>,
    pub(super) is_ramping: AtomicBool,
    pub(super) active: AtomicU32,
    pub(super) total_requests: AtomicU64,
    pub(super) total_failures: AtomicU64,
    pub(super) latency: Histogram,
    /// Recent latency in microseconds, as the bits of an f64; 0 while there is none.
    pub(super) recent_us: AtomicU64,
    pub(super) answers: AtomicU32,
    /// Answers by the first digit of their status.
    pub(super) responses: [AtomicU64; 5],
    pub(super) traffic: Arc<Traffic>,
}

impl Kept {
    pub(super) fn new(name: String, configured: String) -> Kept {
        Kept {
            id: NEXT_ID.fetch_add(1, Relaxed),
            digest: u128::from_be_bytes(Md5::digest(&name).into()),
            name,
            configured,
            is_newcomer: AtomicBool::new(false),
            addresses: ResolvedAddresses::default(),
            idle_time: Arc::default(),
            admin: AtomicU8::new(AdminState::Enabled as u8),
            weight_by_hand: HandWeight::default(),
            healthy: AtomicBool::new(true),
            health: Mutex::default(),
            last_checked: Mutex::new(None),
            changed: Mutex::new(None),
            trouble: Mutex::default(),
            breaker: Flagged::default(),
            back_since: Mutex::new(None),
            is_ramping: AtomicBool::new(false),
            active: AtomicU32::new(0),
            total_requests: AtomicU64::new(0),
            total_failures: AtomicU64::new(0),
            latency: Histogram::default(),
            recent_us: AtomicU64::new(0),
            answers: AtomicU32::new(0),
            responses: Default::default(),
            traffic: Arc::default(),
        }
    }
}

impl Backend {
    /// A backend that is usable from the start. Its addresses come later, from whoever looks names up.
    pub fn new(config: BackendConfig) -> Backend {
        Backend::with_sticky_key(config, None)
    }

    /// The same with a secret that its sticky cookie is made with, see [`crate::pool::sticky`].
    pub fn with_sticky_key(config: BackendConfig, key: Option<&str>) -> Backend {
        let name = config.url.to_string();
        Backend::over(Arc::new(Kept::new(name.clone(), name)), config, key)
    }

    /// This very backend as a newer configuration has it, which must mean it ([`Backend::is_meant_by`]).
    /// Changes nothing about this one.
    pub fn successor(&self, config: BackendConfig, sticky_key: Option<&str>) -> Backend {
        Backend::over(Arc::clone(&self.kept), config, sticky_key)
    }

    pub(super) fn over(kept: Arc<Kept>, config: BackendConfig, sticky_key: Option<&str>) -> Backend {
        Backend {
            url: config.url,
            ca: config.ca,
            configured_weight: config.weight,
            max_connections: config.max_connections,
            backup: config.backup,
            is_endpoint: false,
            sticky_key: sticky_key.map(str::to_owned),
            sticky: OnceLock::new(),
            kept,
        }
    }

    /// Unique in this process, never reused; kept from one configuration to the next.
    pub fn id(&self) -> u64 {
        self.kept.id
    }

    /// Its URL, as in logs and metrics; with the address for a host where it is one of several.
    pub fn name(&self) -> &str {
        &self.kept.name
    }

    /// Its URL in the configuration, which several may share.
    pub fn configured_name(&self) -> &str {
        &self.kept.configured
    }

    /// Whether people mean this one by such a URL: their own, or the name that it belongs to.
    pub fn is_called(&self, url: &str) -> bool {
        url == self.name() || url == self.configured_name()
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
        self.kept.digest
    }

    /// See [`crate::pool::sticky`].
    pub fn sticky_value(&self) -> &str {
        self.sticky.get_or_init(|| sticky::value(self.digest(), self.sticky_key.as_deref()))
    }

    /// Whether a configuration means this very backend, so that it stays when that one is read.
    pub fn is_meant_by(&self, config: &BackendConfig) -> bool {
        !self.is_endpoint && self.url == config.url && self.ca == config.ca
    }

    /// Most requests at once.
    pub fn max_connections(&self) -> Option<u32> {
        self.max_connections
    }

    /// Whether it serves only when no other backend of its pool can.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// Host and port as they belong in a `Host` header.
    pub fn authority(&self) -> String {
        match &self.url {
            BackendUrl::Http { .. } | BackendUrl::Https { .. } if !self.is_endpoint => {
                self.kept.name.split_once("://").map_or(self.name(), |(_, rest)| rest).to_owned()
            }
            BackendUrl::Http { .. } | BackendUrl::Https { .. } => {
                let url = self.url.to_string();
                url.split_once("://").map_or(&*url, |(_, rest)| rest).to_owned()
            }
            BackendUrl::Unix { .. } => "localhost".to_owned(),
        }
    }

    /// How long its idle connections last.
    pub fn idle_time(&self) -> &Arc<IdleTime> {
        &self.kept.idle_time
    }

    /// Where to connect. The book stays up to date when it is kept.
    pub fn resolved_addresses(&self) -> ResolvedAddresses {
        self.kept.addresses.clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Addresses;
    use crate::pool::health::Thresholds;
    use crate::pool::{Problem, ProblemKind};

    impl Backend {
        pub(crate) fn set_unhealthy_for_test(&self) {
            let thresholds = Thresholds { healthy: 1, unhealthy: 1 };
            let problem = Problem::new(ProblemKind::Other, "test");
            self.observe_probe(Some(&problem), &thresholds, SystemTime::UNIX_EPOCH, Instant::now());
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
                addresses: Addresses::One,
            }))
        };
        (1..=count).map(backend).collect()
    }

    #[test]
    fn authority_leaves_the_default_port_out() {
        for (port, expected) in [(80, "localhost"), (8080, "localhost:8080"), (180, "localhost:180")] {
            let url = BackendUrl::Http { host: "localhost".into(), port };
            let config = BackendConfig {
                url,
                weight: 1,
                max_connections: None,
                backup: false,
                ca: None,
                addresses: Addresses::One,
            };
            assert_eq!(Backend::new(config).authority(), expected);
        }
    }
}
