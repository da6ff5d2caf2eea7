//! What building the next configuration changes, and what it must not.

use std::time::{Duration, Instant};

use super::*;
use crate::config::parse;
use crate::pool::AdminState;

fn config(text: &str) -> Config {
    parse(text, &Overrides::default()).unwrap()
}

#[test]
fn a_backend_that_stays_keeps_its_counters_and_takes_its_new_weight() {
    let before = build(config(r#"{"backends":[{"url":"http://a"},{"url":"http://b"}]}"#), None);
    let text = r#"{"backends":[{"url":"http://b","weight":5},{"url":"http://c"}]}"#;
    let after = build(config(text), Some(&before));
    let backends = after.default_pool().backends();
    let old = &before.default_pool().backends()[1];
    assert_eq!(backends[0].id(), old.id());
    assert_eq!((backends[0].weight(), backends[1].name()), (5, "http://c"));
    assert_eq!(old.weight(), 1, "it still serves the configuration before");
    backends[0].set_admin(AdminState::Draining, Instant::now());
    assert_eq!(old.admin(), AdminState::Draining);
}

#[test]
fn the_configuration_that_serves_does_not_notice_the_next_one_being_built() {
    let text = |weight: u32, more: &str| {
        format!(
            r#"{{"backends":[{{"url":"http://a","weight":{weight}{more}}},{{"url":"http://b","weight":9}}]}}"#
        )
    };
    let before = build(config(&text(1, "")), None);
    let backend = &before.default_pool().backends()[0];
    backend.set_admin(AdminState::Draining, Instant::now());
    backend.set_weight(7);
    let changed = backend.changed();
    let after = build(config(&text(0, r#","backup":true,"max_connections":3"#)), Some(&before));
    let facts = |backend: &Backend| (backend.weight(), backend.is_backup(), backend.max_connections());
    assert_eq!(facts(backend), (7, false, None));
    assert_eq!((backend.admin(), backend.is_set_by_hand()), (AdminState::Draining, true));
    assert_eq!(backend.changed(), changed);
    assert_eq!(facts(&after.default_pool().backends()[0]), (0, true, Some(3)));
}

#[test]
fn a_weight_by_hand_that_a_file_has_overridden_does_not_come_back_with_the_earlier_file() {
    let text = |weight: u32| format!(r#"{{"backends":[{{"url":"http://a","weight":{weight}}}]}}"#);
    let weight = |live: &Live| live.default_pool().backends()[0].weight();
    let first = build(config(&text(1)), None);
    first.default_pool().backends()[0].set_weight(7);
    let same = build(config(&text(1)), Some(&first));
    assert_eq!(weight(&same), 7);
    let second = build(config(&text(2)), Some(&same));
    second.backends().for_each(|backend| backend.serves_now());
    let third = build(config(&text(1)), Some(&second));
    assert_eq!((weight(&second), weight(&third)), (2, 1));
}

#[test]
fn a_drain_goes_on_where_only_the_roots_are_others() {
    let text = |ca: &str| format!(r#"{{"backends":[{{"url":"https://a","ca":"{ca}"}}]}}"#);
    let before = build(config(&text("one.pem")), None);
    let old = &before.default_pool().backends()[0];
    old.set_admin(AdminState::Draining, Instant::now());
    old.set_weight(4);
    let after = build(config(&text("two.pem")), Some(&before));
    let new = &after.default_pool().backends()[0];
    assert_ne!(new.id(), old.id());
    assert_eq!((new.admin(), new.weight()), (AdminState::Draining, 4));
}

#[test]
fn a_large_hashed_pool_is_built_and_compared_in_no_time() {
    let backends = |weight: u32| -> Vec<String> {
        (0..1500)
            .map(|n| format!(r#"{{"url":"http://10.0.{}.{}","weight":{weight}}}"#, n / 250, n % 250))
            .collect()
    };
    let text =
        |weight| format!(r#"{{"algorithm":"consistent_hash","backends":[{}]}}"#, backends(weight).join(","));
    let before = build(config(&text(1)), None);
    let (new, began) = (config(&text(2)), Instant::now());
    let changes = changes::of_config(&before.config, &new);
    let after = build(new, Some(&before));
    let built = began.elapsed();
    assert_eq!(changes.len(), 1500);
    assert!(built < Duration::from_millis(500), "{built:?} without optimisation");
    assert_eq!(changes::of_clients(&before, &after), Vec::<String>::new(), "the same shares as before");
}
