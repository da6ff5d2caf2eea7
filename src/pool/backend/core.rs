//! The type `Backend`; its state and its counters are in the sibling modules.

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

/// One backend of one configuration, shared by all workers. What the configuration says is stored here, so
/// that the next configuration can be built while this one serves. State and counters are in [`Kept`], which
/// passes from one configuration to the next ([`Backend::successor`]). Counters are relaxed; locks are held
/// for a few instructions and never two at once.
pub struct Backend {
    pub(super) url: BackendUrl,
    pub(super) ca: Option<String>,
    /// The configured weight; [`Backend::weight`] is the one in force.
    pub(super) configured_weight: u32,
    pub(super) max_connections: Option<u32>,
    pub(super) backup: bool,
    /// Whether this is one address of a configured name.
    pub(super) is_endpoint: bool,
    pub(super) sticky_key: Option<String>,
    /// The value of the sticky cookie, computed on first use.
    pub(super) sticky: OnceLock<String>,
    pub(super) kept: Arc<Kept>,
}

/// State and counters of a backend that survive reloads while it stays configured.
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) name: String,
    /// The URL in the configuration. Differs from `name` if this is one of several addresses.
    pub(super) configured: String,
    /// Whether this backend has joined others that serve and has not passed a probe yet.
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
    /// Why the last failed probe failed; `None` while the backend is healthy and its probes pass.
    pub(super) trouble: Mutex<Option<Trouble>>,
    /// Clean while closed with no failure since the last success.
    pub(super) breaker: Flagged<Breaker>,
    /// When the backend came back; `None` once it has its full weight.
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
    /// A backend that is usable at once. The `names` threads set its addresses later.
    pub fn new(config: BackendConfig) -> Backend {
        Backend::with_sticky_key(config, None)
    }

    /// Like [`Backend::new`], with the secret for its sticky cookie, see [`crate::pool::sticky`].
    pub fn with_sticky_key(config: BackendConfig, key: Option<&str>) -> Backend {
        let name = config.url.to_string();
        Backend::over(Arc::new(Kept::new(name.clone(), name)), config, key)
    }

    /// The same backend in a newer configuration, for which [`Backend::is_meant_by`] must hold. Does not
    /// change this one.
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

    /// Unique in this process and never reused; survives reloads.
    pub fn id(&self) -> u64 {
        self.kept.id
    }

    /// Its URL as in logs and metrics; for one address of several, with the address in place of the host.
    pub fn name(&self) -> &str {
        &self.kept.name
    }

    /// Its URL in the configuration, which several backends of one name share.
    pub fn configured_name(&self) -> &str {
        &self.kept.configured
    }

    /// Whether an operator's `url` means this backend: its own URL or that of the name it belongs to.
    pub fn is_called(&self, url: &str) -> bool {
        url == self.name() || url == self.configured_name()
    }

    /// The URL whose host is used in `Host` and for TLS.
    pub fn url(&self) -> &BackendUrl {
        &self.url
    }

    /// The PEM file that replaces the system's roots, for `https`.
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// A digest of its name: the same in every process, and not readable as an address.
    pub fn digest(&self) -> u128 {
        self.kept.digest
    }

    /// See [`crate::pool::sticky`].
    pub fn sticky_value(&self) -> &str {
        self.sticky.get_or_init(|| sticky::value(self.digest(), self.sticky_key.as_deref()))
    }

    /// Whether this configuration entry means the same backend, so that the backend survives the reload.
    pub fn is_meant_by(&self, config: &BackendConfig) -> bool {
        !self.is_endpoint && self.url == config.url && self.ca == config.ca
    }

    /// Limit of concurrent requests.
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

    /// The learned lifetime of its idle connections.
    pub fn idle_time(&self) -> &Arc<IdleTime> {
        &self.kept.idle_time
    }

    /// Where to connect: shares its content with the resolver, so a stored clone stays up to date.
    pub fn resolved_addresses(&self) -> ResolvedAddresses {
        self.kept.addresses.clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
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
            Arc::new(Backend::new(BackendConfig::at(url)))
        };
        (1..=count).map(backend).collect()
    }

    #[test]
    fn authority_leaves_the_default_port_out() {
        for (port, expected) in [(80, "localhost"), (8080, "localhost:8080"), (180, "localhost:180")] {
            let url = BackendUrl::Http { host: "localhost".into(), port };
            let config = BackendConfig::at(url);
            assert_eq!(Backend::new(config).authority(), expected);
        }
    }
}
