//! Which backend a lease is for.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use super::*;
use crate::config::{BackendConfig, BreakerConfig, Overrides, parse};
use crate::pool::backend::tests::backends;

struct First;
impl Balancer for First {
    fn pick(&self, _: &[Candidate<'_>], _: &ClientKey<'_>) -> usize {
        0
    }
}

fn client() -> ClientKey<'static> {
    ClientKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// A pool of these backends with default settings.
pub(crate) fn pool(backends: Vec<Arc<Backend>>, balancer: Box<dyn Balancer>) -> Pool {
    let config = parse("{}", &Overrides::default()).unwrap();
    let policy = Arc::new(Policy::new(&config));
    Pool::new(config.default_pool, backends, balancer, policy)
}

fn first_of(count: u16) -> Pool {
    pool(backends(count), Box::new(First))
}

fn lease(pool: &Pool, tried: &Tried) -> Result<Lease, NoLease> {
    pool.lease(&client(), tried, Instant::now())
}

#[test]
fn an_untried_backend_is_preferred_and_a_tried_one_better_than_none() {
    let pool = first_of(2);
    let mut tried = Tried::default();
    let first = lease(&pool, &tried).unwrap();
    tried.add(first.backend());
    let second = lease(&pool, &tried).unwrap();
    assert_ne!(first.backend().id(), second.backend().id());
    tried.add(second.backend());
    assert!(lease(&pool, &tried).is_ok());
}

#[test]
fn nothing_usable_means_no_lease() {
    let pool = first_of(3);
    pool.backends()[0].set_unhealthy_for_test();
    pool.backends()[1].set_admin(AdminState::Draining, Instant::now());
    pool.backends()[2].set_weight(0);
    assert_eq!(lease(&pool, &Tried::default()).err(), Some(NoLease::NoneUsable));
    assert_eq!(pool.usable(), 0);
}

#[test]
fn a_backup_serves_only_when_no_other_can() {
    let pool = with_first(2, |config| config.backup = true);
    let id = |tried: &Tried| lease(&pool, tried).unwrap().backend().id();
    assert_eq!(id(&Tried::default()), pool.backends()[1].id());
    let mut tried = Tried::default();
    tried.add(&pool.backends()[1]);
    assert_eq!(id(&tried), pool.backends()[0].id(), "after the other has failed");
    pool.backends()[1].set_unhealthy_for_test();
    assert_eq!(id(&Tried::default()), pool.backends()[0].id());
}

/// A pool of `count` backends; `change` configures the first one.
fn with_first(count: u16, change: impl Fn(&mut BackendConfig)) -> Pool {
    let mut all = backends(count);
    let url = all[0].url().clone();
    let mut config = BackendConfig::at(url);
    change(&mut config);
    all[0] = Arc::new(all[0].successor(config, None));
    pool(all, Box::new(First))
}

#[test]
fn no_more_than_max_connections_at_once() {
    let pool = with_first(1, |config| config.max_connections = Some(2));
    let held: Vec<_> = (0..2).map(|_| lease(&pool, &Tried::default()).unwrap()).collect();
    assert_eq!(lease(&pool, &Tried::default()).err(), Some(NoLease::AllFull));
    drop(held);
    assert!(lease(&pool, &Tried::default()).is_ok());
}

fn fail(pool: &Pool, index: usize, times: u32) {
    for _ in 0..times {
        let lease = pool.claim(&pool.policy, &pool.backends()[index], false, Instant::now());
        lease.expect("a place").failed(Instant::now());
    }
}

#[test]
fn an_open_breaker_takes_nothing_unless_nothing_else_is_left() {
    let pool = first_of(2);
    fail(&pool, 0, 5);
    assert_eq!(pool.backends()[0].breaker_state(), BreakerState::Open);
    let id = || lease(&pool, &Tried::default()).unwrap().backend().id();
    assert_eq!(id(), pool.backends()[1].id());
    fail(&pool, 1, 5);
    assert_eq!(id(), pool.backends()[0].id(), "breakers never take out the last one");
}

#[test]
fn a_newcomer_serves_where_nothing_better_is_left_and_its_failures_count() {
    let pool = first_of(3);
    let id = || lease(&pool, &Tried::default()).unwrap().backend().id();
    let [first, second, third] = [0, 1, 2].map(|index| pool.backends()[index].id());
    pool.backends()[0].joins();
    pool.backends()[1].joins();
    assert_eq!(id(), third, "it has been probed");
    fail(&pool, 2, 5);
    assert_eq!(id(), first, "a backend that is known to fail is the last");
    for _ in 0..5 {
        lease(&pool, &Tried::default()).unwrap().failed(Instant::now());
    }
    assert_eq!(pool.backends()[0].breaker_state(), BreakerState::Open);
    assert_eq!(id(), second);
    let full = with_first(2, |config| config.max_connections = Some(1));
    let _held = lease(&full, &Tried::default()).unwrap();
    full.backends()[1].joins();
    assert_eq!(lease(&full, &Tried::default()).err(), Some(NoLease::AllFull), "a place will be free soon");
}

#[test]
fn a_backend_that_comes_back_begins_anew_with_its_breaker() {
    let pool = first_of(1);
    fail(&pool, 0, 4);
    let mut success = lease(&pool, &Tried::default()).unwrap();
    success.answered(200, Duration::ZERO);
    pool.backends()[0].set_unhealthy_for_test();
    let thresholds = health::Thresholds { healthy: 1, unhealthy: 1 };
    pool.backends()[0].observe_probe(None, &thresholds, SystemTime::now(), Instant::now());
    fail(&pool, 0, 1);
    assert_eq!(pool.backends()[0].breaker_state(), BreakerState::Closed, "the four failures are forgotten");
}

#[test]
fn a_trial_that_is_dropped_leaves_the_next_one_free() {
    let pool = first_of(2);
    fail(&pool, 0, 5);
    let later = Instant::now() + Duration::from_secs(31);
    let trial = pool.lease(&client(), &Tried::default(), later).unwrap();
    assert_eq!(trial.backend().breaker_state(), BreakerState::HalfOpen);
    drop(trial);
    let mut trial = pool.lease(&client(), &Tried::default(), later).unwrap();
    assert_eq!(trial.backend().id(), pool.backends()[0].id());
    assert_eq!(trial.answered(200, Duration::ZERO), Some(BreakerState::Closed));
    let share = trial.backend().share(Duration::from_secs(10), later + Duration::from_secs(1));
    assert_eq!(share, backend::FULL_SHARE / 10, "slow start, where that is configured");
}

#[test]
fn statuses_can_open_the_breaker() {
    let mut config = parse("{}", &Overrides::default()).unwrap();
    let breaker = BreakerConfig { on_status: vec![503], failures: 1, ..config.circuit_breaker.unwrap() };
    config.circuit_breaker = Some(breaker);
    let policy = Arc::new(Policy::new(&config));
    let pool = Pool::new(config.default_pool, backends(1), Box::new(First), policy);
    let mut lease = lease(&pool, &Tried::default()).unwrap();
    assert_eq!(lease.answered(503, Duration::ZERO), Some(BreakerState::Open));
}

#[test]
fn a_sticky_cookie_keeps_to_its_backend_while_it_is_usable() {
    let pool = first_of(3);
    let value = pool.backends()[2].sticky_value().to_owned();
    let client = ClientKey { sticky: Some(value.as_bytes()), ..client() };
    let id = || pool.lease(&client, &Tried::default(), Instant::now()).unwrap().backend().id();
    assert_eq!(id(), pool.backends()[2].id());
    pool.backends()[2].set_unhealthy_for_test();
    assert_eq!(id(), pool.backends()[0].id());
}
