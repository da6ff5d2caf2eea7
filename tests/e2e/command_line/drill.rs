//! `loadbalancer drill`: every promise of a configuration, while backends misbehave.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Finished, Run, Signal, behind_front, eventually, patience};

/// A drill is over in two minutes; this times the patience for anything else.
const LONG: u32 = 12;

fn drill(config: Value, scenarios: &[&str]) -> Finished {
    let mut run = Run::of(["drill", "--config"]).file(&config.to_string());
    for scenario in scenarios {
        run = run.arg(scenario);
    }
    run.long_output(LONG)
}

/// What the table says of this promise in this scenario.
fn result<'a>(run: &'a Finished, scenario: &str, promise: &str) -> &'a str {
    let mut lines = run.stdout.lines().skip_while(|line| !line.starts_with(scenario));
    let line = lines.find(|line| line.contains(promise)).unwrap_or_else(|| panic!("{promise}: {run:?}"));
    ["kept", "BROKEN"].into_iter().find(|word| line.contains(word)).expect("a result")
}

#[test]
fn the_defaults_keep_every_promise_in_under_two_minutes() {
    let started = Instant::now();
    let run = drill(json!({ "front": behind_front() }), &[]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    assert!(started.elapsed() < patience() * LONG, "{:?}", started.elapsed());
    assert!(run.stdout.contains("every promise was kept"), "{run:?}");
    assert!(!run.stdout.contains("BROKEN"), "{run:?}");
    for (number, name) in
        "refuse reset-before-head reset-after-head half-a-body stall flap all-down reload drain"
            .split(' ')
            .enumerate()
    {
        assert!(run.stderr.contains(&format!("{}/9 {name}: ", number + 1)), "{name}: {run:?}");
        assert_eq!(result(&run, name, "no POST is sent twice"), "kept");
    }
    assert!(run.stdout.contains(" cut=0)"), "{run:?}");
}

#[test]
fn without_retries_a_promise_is_broken_and_named() {
    let run = drill(json!({ "retry": { "max_retries": 0 } }), &["reset-before-head"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(result(&run, "reset-before-head", "no idempotent request is lost"), "BROKEN");
    assert_eq!(result(&run, "reset-before-head", "no POST is sent twice"), "kept");
    assert!(run.stderr.contains("no idempotent request is lost: BROKEN: "), "{run:?}");
    assert!(run.stdout.contains("502 backend_closed"), "{run:?}");
}

#[test]
fn a_configuration_that_sends_posts_twice_is_told_so() {
    let run = drill(json!({ "retry": { "non_idempotent": true } }), &["reset-before-head"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(result(&run, "reset-before-head", "no POST is sent twice"), "BROKEN");
    assert_eq!(result(&run, "reset-before-head", "no idempotent request is lost"), "kept");
}

#[test]
fn an_algorithm_of_another_kind_and_a_single_drain() {
    let run = drill(json!({ "algorithm": "consistent_hash" }), &["half-a-body", "drain"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("consistent_hash"), "{run:?}");
    assert_eq!(result(&run, "half-a-body", "no cut answer looks whole"), "kept");
    assert_eq!(result(&run, "drain", "cut=0"), "kept");
}

#[test]
fn an_invalid_configuration_and_an_unknown_scenario_are_usage_errors() {
    let run = drill(json!({ "workers": 0 }), &[]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("workers"), "{run:?}");
    let run = drill(json!({}), &["stal"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("\"stal\"") && run.stderr.contains("half-a-body"), "{run:?}");
}

#[test]
fn a_signal_ends_a_drill_and_its_balancer() {
    let drill = Run::of(["drill", "refuse"]).spawn();
    eventually("it plays", || drill.stderr().iter().any(|line| line.starts_with("1/1 refuse")));
    drill.signal(Signal::TERM);
    let run = drill.finish();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("interrupted"), "{run:?}");
}

#[test]
fn a_configuration_without_backends_at_the_top_has_nothing_to_play() {
    let pools = json!({ "api": { "backends": [{ "url": "http://127.0.0.1:1" }] } });
    let config = json!({ "unmatched": 404, "pools": pools, "routes": [{ "path": "/v1", "pool": "api" }] });
    let run = Run::of(["drill", "--config"]).file(&config.to_string()).output();
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("top-level `backends`"), "{run:?}");
}
