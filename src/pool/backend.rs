//! One configured backend: where it is, how it is, what it has done.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use md5::{Digest, Md5};
use parking_lot::{Mutex, RwLock};

use super::admin::AdminState;
use super::balancer::FULL_SHARE;
use super::breaker::{Breaker, BreakerState, Generation};
use super::health::{Flip, HealthTracker, Thresholds};
use crate::config::{BackendConfig, BackendUrl, BreakerConfig};
use crate::histogram::Histogram;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The newest answer counts this much in the recent latency.
const RECENT: f64 = 0.1;

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

    /// Most requests at once.
    pub fn max_connections(&self) -> Option<u32> {
        Some(self.max_connections.load(Relaxed)).filter(|most| *most > 0)
    }

    /// Whether it serves only when no other backend of its pool can.
    pub fn is_backup(&self) -> bool {
        self.backup.load(Relaxed)
    }

    /// What people have asked of it.
    pub fn admin(&self) -> AdminState {
        AdminState::from_u8(self.admin.load(Relaxed))
    }

    /// See [`Backend::admin`]. Takes a lock where that changes its state.
    pub fn set_admin(&self, state: AdminState, now: Instant) {
        let before = self.state();
        self.admin.store(state as u8, Relaxed);
        self.note_change(before, now);
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

    /// Whether it may take a request as far as probes and people are concerned. With
    /// [`Backend::breaker_admits`] and [`Backend::has_room`] the facts that [`super::Pool::lease`]
    /// combines.
    pub fn is_usable(&self) -> bool {
        self.is_healthy() && self.admin() == AdminState::Enabled && self.weight() > 0
    }

    /// Whether its breaker lets a request pass. Takes a lock unless all is well.
    pub fn breaker_admits(&self, now: Instant) -> bool {
        self.breaker_is_clean.load(Relaxed) || self.breaker.lock().admits(now)
    }

    /// Whether it has fewer requests than it may have.
    pub fn has_room(&self) -> bool {
        self.max_connections().is_none_or(|most| self.active() < most)
    }

    /// Whether it could take a request now, by all four facts.
    pub fn available(&self, now: Instant) -> bool {
        self.is_usable() && self.has_room() && self.breaker_admits(now)
    }

    /// The verdict of the probes.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    /// What people are told.
    pub fn state(&self) -> &'static str {
        match self.admin() {
            AdminState::Draining => "draining",
            AdminState::Disabled => "disabled",
            AdminState::Enabled if self.is_healthy() => "healthy",
            AdminState::Enabled => "unhealthy",
        }
    }

    /// Since when it is in that state; `None` when it always was. Takes a lock.
    pub fn changed(&self) -> Option<Instant> {
        *self.changed.lock()
    }

    fn note_change(&self, before: &str, now: Instant) {
        if self.state() != before {
            *self.changed.lock() = Some(now);
        }
    }

    /// The weight that algorithms see, in parts of [`FULL_SHARE`]: while it climbs after it has come
    /// back, a part of it. Takes a lock only then.
    pub fn share(&self, slow_start: Duration, now: Instant) -> u32 {
        let full = self.weight().saturating_mul(FULL_SHARE);
        if !self.is_climbing.load(Relaxed) || slow_start.is_zero() {
            return full;
        }
        let mut since = self.back_since.lock();
        let Some(climbed) = since.map(|since| now.saturating_duration_since(since)) else { return full };
        if climbed >= slow_start {
            *since = None;
            self.is_climbing.store(false, Relaxed);
            return full;
        }
        ((f64::from(full) * climbed.as_secs_f64() / slow_start.as_secs_f64()) as u32).max(1)
    }

    /// Takes a probe's result in; says when the verdict changed. A backend that the probes have found
    /// healthy again begins anew: its breaker closes, and it climbs if that is asked for. Takes locks,
    /// one after the other.
    pub fn observe_probe(
        &self,
        problem: Option<&str>,
        thresholds: &Thresholds,
        at: SystemTime,
        now: Instant,
    ) -> Option<Flip> {
        *self.last_checked.lock() = Some(at);
        if let Some(problem) = problem {
            problem.clone_into(&mut self.last_problem.lock());
        }
        let before = self.state();
        let flip = {
            let mut health = self.health.lock();
            let flip = health.observe(problem.is_none(), thresholds);
            self.healthy.store(health.is_healthy(), Relaxed);
            flip
        };
        self.note_change(before, now);
        if flip == Some(Flip::ToHealthy) {
            self.reset_breaker();
            self.begin_climb(now);
        }
        flip
    }

    /// From now on it climbs to its full weight. Takes a lock.
    pub fn begin_climb(&self, now: Instant) {
        *self.back_since.lock() = Some(now);
        self.is_climbing.store(true, Relaxed);
    }

    /// Probes that have failed in a row. Takes a lock.
    pub fn failed_probes(&self) -> u32 {
        self.health.lock().failed()
    }

    /// When the last probe ended. Takes a lock.
    pub fn last_checked(&self) -> Option<SystemTime> {
        *self.last_checked.lock()
    }

    /// What the last failed probe said. Takes a lock.
    pub fn last_problem(&self) -> String {
        self.last_problem.lock().clone()
    }

    /// Where to connect. The book stays up to date when it is kept.
    pub fn address_book(&self) -> AddressBook {
        self.addresses.clone()
    }

    /// The breaker's state. Takes a lock.
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.lock().state()
    }

    /// How long an open breaker stays so. Takes a lock.
    pub fn breaker_opens_in(&self, now: Instant) -> Option<Duration> {
        self.breaker.lock().opens_until().map(|until| until.saturating_duration_since(now))
    }

    /// Closes the breaker, whatever it was. Takes a lock.
    pub fn reset_breaker(&self) {
        if !self.breaker_is_clean.load(Relaxed) {
            self.breaker.lock().reset();
            self.breaker_is_clean.store(true, Relaxed);
        }
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

    /// How long its answers' heads took.
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// How long they took of late, in microseconds; 0 while there was none.
    pub fn recent_latency_us(&self) -> f64 {
        f64::from_bits(self.recent_us.load(Relaxed))
    }

    /// One compare-and-swap, so that two workers can't both take the last place.
    pub(super) fn begin(&self) -> bool {
        let most = self.max_connections().unwrap_or(u32::MAX);
        let claimed = self
            .active
            .fetch_update(Relaxed, Relaxed, |active| (active < most).then_some(active + 1))
            .is_ok();
        if claimed {
            self.total_requests.fetch_add(1, Relaxed);
        }
        claimed
    }

    pub(super) fn end(&self) {
        self.active.fetch_sub(1, Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.total_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn count_latency(&self, latency: Duration) {
        self.latency.record(latency);
        let newest = latency.as_micros() as f64;
        let recent = self.recent_latency_us();
        // Two at once may lose one of them, which a mean can bear.
        let mean = if recent == 0.0 { newest } else { recent + (newest - recent) * RECENT };
        self.recent_us.store(mean.to_bits(), Relaxed);
    }

    /// A claim on the breaker; `None` where it does not admit. Takes a lock unless all is well.
    pub(super) fn claim_breaker(&self, now: Instant) -> Option<Generation> {
        self.breaker.lock().claim(now)
    }

    pub(super) fn breaker_is_clean(&self) -> bool {
        self.breaker_is_clean.load(Relaxed)
    }

    /// A result for the breaker; says what it has come to. Takes a lock.
    pub(super) fn tell_breaker(
        &self,
        claimed: Generation,
        passed: bool,
        config: &BreakerConfig,
        now: Instant,
    ) -> Option<BreakerState> {
        let mut breaker = self.breaker.lock();
        let change = breaker.record(claimed, passed, config, now);
        self.breaker_is_clean.store(breaker.is_clean(), Relaxed);
        change
    }

    pub(super) fn abandon_breaker(&self, claimed: Generation, now: Instant) {
        self.breaker.lock().abandon(claimed, now);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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

    #[test]
    fn a_state_is_timed_from_its_last_change() {
        let backend = &backends(1)[0];
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let thresholds = Thresholds { healthy: 1, unhealthy: 1 };
        let probe = |problem, seconds| {
            backend.observe_probe(problem, &thresholds, SystemTime::UNIX_EPOCH, after(seconds));
            backend.changed()
        };
        assert_eq!(probe(None, 1), None);
        assert_eq!(probe(Some("down"), 2), Some(after(2)));
        assert_eq!(probe(Some("down"), 3), Some(after(2)));
        backend.set_admin(AdminState::Draining, after(4));
        assert_eq!(probe(None, 5), Some(after(4)), "it is draining all the same");
        backend.set_admin(AdminState::Enabled, after(6));
        assert_eq!(backend.changed(), Some(after(6)));
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
