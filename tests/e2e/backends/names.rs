//! Backends that are known by name, and names that move.

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Names, Run, config, eventually};

/// Looked up every tenth of a second; idle connections are kept for longer than any test.
fn by_name(port: u16, more: Value) -> Value {
    let mut config = config(&[], more);
    config["backends"] = json!([{ "url": format!("http://backend.test:{port}") }]);
    config["timeouts"] = json!({ "resolve": "100ms", "backend_idle": "1h" });
    config
}

/// The backend that is known by name, and one that is not.
fn beside(named: &Backend, other: &Backend) -> Value {
    let mut config = by_name(named.address().port(), json!({}));
    config["backends"].as_array_mut().unwrap().push(json!({ "url": other.url() }));
    config
}

/// Two backends on the same port of two addresses.
fn pair() -> (Backend, Backend) {
    eventually("a port that is free on both addresses", || {
        let here = Backend::named("here");
        let there = Backend::on(format!("127.0.0.2:{}", here.address().port()).parse().unwrap(), "there");
        Some((here, there?))
    })
}

fn start(names: &Names, config: &Value) -> Balancer {
    names.given_to(Run::with(config)).start()
}

#[test]
fn a_name_that_moves_is_followed_even_where_the_old_address_still_answers() {
    let Some(names) = Names::with("backend.test 127.0.0.1\n") else { return };
    let (here, _there) = pair();
    let balancer = start(&names, &by_name(here.address().port(), json!({})));
    // The connection that this leaves behind stays open: only that its address has gone speaks against it.
    assert_eq!(balancer.get("/").text(), "here");
    names.are("backend.test 127.0.0.2\n");
    balancer.wait_for_log("msg=\"addresses changed\"");
    assert_eq!(balancer.get("/").text(), "there");
    assert_eq!(balancer.states(), ["healthy"]);
}

#[test]
fn every_address_of_a_name_is_used_and_a_dead_one_is_passed_by() {
    let Some(names) = Names::with("backend.test 127.0.0.1 127.0.0.2\n") else { return };
    let (mut here, there) = pair();
    let more = json!({ "limits": { "max_idle_per_backend": 0 } });
    let balancer = start(&names, &by_name(here.address().port(), more));
    let seen: Vec<String> = (0..4).map(|_| balancer.get("/").text().to_owned()).collect();
    assert_eq!(seen.iter().filter(|name| *name == "here").count(), 2, "{seen:?}");
    here.stop();
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "there");
    }
    assert_eq!(balancer.metrics_after(8)["retry_attempts"], 0);
    drop(there);
}

#[test]
fn a_name_that_does_not_resolve_is_an_unhealthy_backend_until_it_does() {
    let Some(names) = Names::with("") else { return };
    let (late, good) = (Backend::named("late"), Backend::named("good"));
    let config = beside(&late, &good);
    let balancer = start(&names, &config);
    balancer.wait_for_states(&["unhealthy", "healthy"]);
    assert!(balancer.wait_for_log("msg=\"name not resolved\"").contains("backend.test"));
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "good");
    }
    names.are("backend.test 127.0.0.1\n");
    eventually("it is found", || balancer.get("/").text() == "late");
    balancer.wait_for_log("msg=\"name resolved again\"");
    let told = balancer.log_lines_with("msg=\"name not resolved\"").len();
    assert_eq!(told, 1, "however often the name was looked up");
}

#[test]
fn a_name_server_that_does_not_answer_delays_neither_the_start_nor_a_request() {
    let Some(names) = Names::with("backend.test never\n") else { return };
    let (named, good) = (Backend::named("named"), Backend::named("good"));
    let config = beside(&named, &good);
    let balancer = start(&names, &config);
    assert_eq!(balancer.get("/").text(), "good");
    names.are("backend.test 127.0.0.1\n");
    eventually("it is found", || balancer.get("/").text() == "named");
    names.are("backend.test never\n");
    // What it was found under before is used on.
    let seen: Vec<String> = (0..6).map(|_| balancer.get("/").text().to_owned()).collect();
    assert_eq!(seen.iter().filter(|name| *name == "named").count(), 3, "{seen:?}");
    assert_eq!(balancer.metrics()["failed_requests"], 0);
}

#[test]
fn a_shorter_interval_does_not_wait_for_the_longer_one_to_pass() {
    let Some(names) = Names::with("backend.test 127.0.0.1\n") else { return };
    let (here, _there) = pair();
    let mut config = by_name(here.address().port(), json!({}));
    config["timeouts"]["resolve"] = json!("1h");
    let balancer = start(&names, &config);
    assert_eq!(balancer.get("/").text(), "here");
    names.are("backend.test 127.0.0.2\n");
    config["timeouts"]["resolve"] = json!("100ms");
    balancer.write_config(&config.to_string());
    eventually("it is looked up again", || balancer.get("/").text() == "there");
}

#[test]
fn while_a_reload_looks_a_name_up_the_configuration_before_serves_as_it_was() {
    let Some(names) = Names::with("backend.test never\n") else { return };
    let (old, new) = (Backend::named("old"), Backend::named("new"));
    let balancer = start(&names, &config(&[&old], json!({})));
    let mut next = by_name(new.address().port(), json!({ "workers": 3 }));
    next["backends"].as_array_mut().unwrap().push(json!({ "url": old.url(), "weight": 0 }));
    balancer.write_config(&next.to_string());
    // It is said before the look-up, which has no end yet.
    balancer.wait_for_log("needs a restart");
    for _ in 0..20 {
        assert_eq!(balancer.get("/").text(), "old");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    assert_eq!(balancer.metrics()["backends"][0]["weight"], 1);
    names.are("backend.test 127.0.0.1\n");
    balancer.wait_for_log("configuration reloaded");
    (0..4).for_each(|_| assert_eq!(balancer.get("/").text(), "new"));
    assert_eq!(balancer.metrics()["backends"][1]["weight"], 0);
}
