//! What real traffic says of a backend: the circuit breaker, and answers that count as failures.

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, config, eventually};

fn breaker(more: Value) -> Value {
    let mut breaker = json!({ "failures": 3, "window": "10s", "cooldown": "300ms" });
    breaker.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    breaker
}

fn state(balancer: &Balancer, index: usize) -> String {
    balancer.metrics()["backends"][index]["breaker"].as_str().unwrap().to_owned()
}

fn status(status: u16, text: &str) -> Backend {
    Backend::that(Behaviour::Answers(Answer { status, ..Answer::ok(text) }))
}

#[test]
fn failures_in_a_row_open_it_and_a_trial_closes_it() {
    let backends = ["good", "bad"].map(Backend::named);
    let more = json!({ "circuit_breaker": breaker(json!({})) });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    backends[1].set_failing(true);
    // Its probes pass all the while; no client sees anything.
    for _ in 0..8 {
        assert_eq!(balancer.get("/").text(), "good");
    }
    balancer.wait_for_log("breaker OPEN");
    assert_eq!(balancer.states(), ["healthy", "healthy"]);
    let asked = backends[1].heads();
    for _ in 0..3 {
        balancer.get("/");
    }
    assert!(backends[1].heads() <= asked + 1, "a trial at most");
    // Each trial that fails opens it again, the first that passes closes it.
    eventually("a trial", || {
        balancer.get("/");
        backends[1].heads() > asked
    });
    backends[1].set_failing(false);
    eventually("it is closed by a trial", || {
        assert_eq!(balancer.get("/").status, 200);
        state(&balancer, 1) == "closed"
    });
    let answers: String = (0..4).map(|_| balancer.get("/").text().to_owned()).collect();
    assert!(answers.contains("bad"), "{answers}");
}

#[test]
fn the_last_usable_backend_is_never_taken_out() {
    let backends = ["one", "two"].map(Backend::named);
    let more = json!({
        "circuit_breaker": breaker(json!({ "cooldown": "1h" })), "retry": { "max_retries": 0 },
    });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    backends.iter().for_each(|backend| backend.set_failing(true));
    for _ in 0..10 {
        assert_eq!(balancer.get("/").status, 502);
    }
    assert_eq!((state(&balancer, 0), state(&balancer, 1)), ("open".into(), "open".into()));
    backends.iter().for_each(|backend| backend.set_failing(false));
    for _ in 0..4 {
        assert_eq!(balancer.get("/").status, 200, "although both are open");
    }
}

#[test]
fn answers_can_count_as_failures() {
    let backends = [status(200, "good"), status(500, "bad")];
    let more = json!({ "circuit_breaker": breaker(json!({ "on_status": [500], "cooldown": "1h" })) });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    let answers: Vec<u16> = (0..10).map(|_| balancer.get("/").status).collect();
    assert_eq!(answers.iter().filter(|status| **status == 500).count(), 3, "{answers:?}");
    assert_eq!(state(&balancer, 1), "open");
}

#[test]
fn switched_off_it_does_nothing() {
    let backends = ["good", "bad"].map(Backend::named);
    let more = json!({ "circuit_breaker": { "enabled": false } });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    backends[1].set_failing(true);
    (0..20).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    assert!(backends[1].heads() >= 9, "{}", backends[1].heads());
}

#[test]
fn a_backend_that_the_probes_find_healthy_again_begins_anew() {
    let mut backends = ["good", "gone"].map(Backend::named);
    let more = json!({ "circuit_breaker": breaker(json!({ "cooldown": "1h" })) });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    backends[1].set_failing(true);
    (0..8).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    assert_eq!(state(&balancer, 1), "open");
    backends[1].stop();
    balancer.wait_for_states(&["healthy", "unhealthy"]);
    backends[1].set_failing(false);
    backends[1].restart();
    balancer.wait_for_states(&["healthy", "healthy"]);
    assert_eq!(state(&balancer, 1), "closed");
}

#[test]
fn a_status_is_tried_again_elsewhere_where_that_is_asked_for() {
    let backends = [status(503, "busy"), status(200, "good")];
    let more = json!({ "retry": { "on_status": [503] } });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    (0..4).for_each(|_| assert_eq!(balancer.get("/").text(), "good"));
    let statuses: Vec<u16> = (0..2).map(|_| balancer.ask("POST", "/", &[], b"x").status).collect();
    assert!(statuses.contains(&503), "a POST is not: {statuses:?}");
    let page = balancer.metrics_after(6);
    assert!(page["backends"][0]["total_failures"].as_u64().unwrap() >= 1);
}

#[test]
fn where_all_give_that_status_the_last_answer_is_passed_on() {
    let backends = [status(503, "busy"), status(503, "busy")];
    let more = json!({ "retry": { "on_status": [503], "max_retries": 3 } });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    let answer = balancer.get("/");
    assert_eq!((answer.status, answer.text()), (503, "busy"));
    assert_eq!(answer.header("x-lb-reason"), None, "it is the backend's own");
    assert_eq!(backends[0].asked().len() + backends[1].asked().len(), 4);
}

#[test]
fn probes_of_every_kind() {
    let body = |text: &str| Backend::that(Behaviour::Answers(Answer::ok(text)));
    // A mock answers its health path with "ok".
    let backends = [body("one")];
    for (check, expected) in [
        (json!({ "type": "tcp" }), "healthy"),
        (json!({ "expect_body": "no such text" }), "unhealthy"),
        (json!({ "path": "/", "expect_body": "one" }), "healthy"),
        (json!({ "path": "/", "host": "probe.example" }), "healthy"),
        (json!({ "port": backends[0].address().port() }), "healthy"),
        (json!({ "port": 1 }), "unhealthy"),
        (json!({ "expect_status": "300-399" }), "unhealthy"),
    ] {
        let mut config = config(&backends.each_ref(), json!({}));
        config["health_check"].as_object_mut().unwrap().extend(check.as_object().unwrap().clone());
        let balancer = Balancer::start(config).once_probed();
        assert_eq!(balancer.states(), [expected], "{check}");
    }
    let asked = backends[0].asked();
    assert!(
        asked.iter().any(|asked| String::from_utf8_lossy(&asked.raw).contains("Host: probe.example\r\n"))
    );
}

#[test]
fn a_tcp_probe_finds_a_dead_port() {
    let mut backends = [Backend::named("one")];
    let more = json!({ "health_check": { "type": "tcp", "interval": "50ms" } });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    balancer.wait_for_states(&["healthy"]);
    backends[0].stop();
    balancer.wait_for_states(&["unhealthy"]);
    backends[0].restart();
    balancer.wait_for_states(&["healthy"]);
    assert_eq!(balancer.get("/").status, 200);
}
