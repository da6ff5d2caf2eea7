//! Probes, the verdicts they lead to, and what clients notice of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Health, config, eventually, fields, patience};

fn over(backends: &[&Backend], health_check: Value) -> Balancer {
    Balancer::start(config(backends, json!({ "health_check": health_check })))
}

/// How often the log says that a backend was marked so.
fn marked(balancer: &Balancer, verdict: &str) -> usize {
    balancer.log_lines_with(&format!("msg=\"backend marked {verdict}\"")).len()
}

/// A verdict counts a moment before it is logged, so the lines may still be on their way.
#[track_caller]
fn assert_marked(balancer: &Balancer, unhealthy: usize, healthy: usize) {
    let expected = (unhealthy, healthy);
    eventually(&format!("{expected:?} verdicts in the log"), || {
        (marked(balancer, "UNHEALTHY"), marked(balancer, "HEALTHY")) == expected
    });
}

#[test]
fn two_probes_in_a_row_change_the_verdict_and_no_fewer() {
    let backend = Backend::named("one");
    backend.set_health(Health::Script("+--+-++"));
    let balancer = over(&[&backend], json!({ "interval": "20ms" }));
    backend.wait_for_probes(10);
    balancer.wait_for_states(&["healthy"]);
    assert_marked(&balancer, 1, 1);
}

#[test]
fn flapping_changes_nothing() {
    for (script, state) in [("+-+-+-+-+-+", "healthy"), ("-+-+-+-+-+-", "unhealthy")] {
        let backend = Backend::named("one");
        backend.set_health(Health::Script(script));
        let balancer = over(&[&backend], json!({ "interval": "20ms" }));
        backend.wait_for_probes(10);
        assert_eq!(balancer.states(), [state], "after {script}");
        assert_marked(&balancer, usize::from(state == "unhealthy"), 0);
    }
}

#[test]
fn thresholds_are_as_configured() {
    let backend = Backend::named("one");
    backend.set_health(Health::Script("+--+---++-+++"));
    let thresholds = json!({ "interval": "20ms", "unhealthy_threshold": 3, "healthy_threshold": 3 });
    let balancer = over(&[&backend], thresholds);
    backend.wait_for_probes(15);
    balancer.wait_for_states(&["healthy"]);
    assert_marked(&balancer, 1, 1);
}

#[test]
fn the_first_probe_counts_alone() {
    let (bad, good) = (Backend::named("bad"), Backend::named("good"));
    bad.set_healthy(false);
    let balancer = over(&[&bad, &good], json!({ "interval": "1h" }));
    balancer.wait_for_states(&["unhealthy", "healthy"]);
    assert_marked(&balancer, 1, 0);
    for _ in 0..4 {
        assert_eq!(balancer.get("/").text(), "good");
    }
}

#[test]
fn a_backend_that_starts_together_with_the_balancer_is_soon_used() {
    let mut backend = Backend::named("late");
    backend.stop();
    let balancer = over(&[&backend], json!({ "interval": "1h" }));
    balancer.wait_for_states(&["unhealthy"]);
    backend.restart();
    balancer.wait_for_states(&["healthy"]);
    assert_eq!(balancer.get("/").text(), "late");
}

#[test]
fn a_backend_is_usable_before_its_first_probe_has_ended() {
    let backend = Backend::named("one");
    backend.set_health(Health::Hangs);
    let balancer = over(&[&backend], json!({ "interval": "1h", "timeout": "1h" }));
    assert_eq!(balancer.get("/").text(), "one");
    assert_eq!(balancer.get("/lb-health").status, 200);
    assert_eq!(balancer.metrics()["backends"][0]["last_checked"], Value::Null);
}

#[test]
fn where_nobody_is_asked_a_backend_that_is_away_serves_once_it_is_there() {
    let (other, mut away) = (Backend::named("other"), Backend::named("away"));
    away.stop();
    let file = |kind: &str| {
        let pool = json!({ "backends": [{ "url": away.url() }], "health_check": { "type": kind, "interval": "1h" } });
        config(&[&other], json!({ "pools": { "own": pool }, "routes": [{ "path": "/own", "pool": "own" }] }))
    };
    let (probed, unprobed) = (file("tcp"), file("none"));
    let balancer = Balancer::start(unprobed.clone());
    assert_eq!(balancer.get("/own").status, 503);
    away.restart();
    assert_eq!(balancer.get("/own").text(), "away");
    away.stop();
    assert_eq!(balancer.get("/own").status, 503);
    let metrics = balancer.metrics();
    assert_eq!(metrics["backends"][1]["last_checked"], Value::Null, "{metrics}");
    assert_eq!(balancer.states(), ["healthy", "healthy"]);
    // A reload takes each way, and what probes said is forgotten.
    balancer.write_config(&probed.to_string());
    balancer.wait_for_states(&["healthy", "unhealthy"]);
    assert_eq!(balancer.get("/own").status, 503);
    balancer.write_config(&unprobed.to_string());
    balancer.wait_for_states(&["healthy", "healthy"]);
    assert_eq!(balancer.metrics()["backends"][1]["last_error"], Value::Null);
    balancer.write_config(&probed.to_string());
    balancer.wait_for_states(&["healthy", "unhealthy"]);
    away.restart();
    balancer.write_config(&unprobed.to_string());
    eventually("it serves", || balancer.get("/own").text() == "away");
}

#[test]
fn a_probe_that_gets_no_answer_fails() {
    let backend = Backend::named("one");
    backend.set_health(Health::Hangs);
    let balancer = over(&[&backend], json!({ "timeout": "100ms" }));
    balancer.wait_for_states(&["unhealthy"]);
}

#[test]
fn one_hanging_backend_delays_no_verdict_on_another() {
    let (hangs, dead) = (Backend::named("hangs"), Backend::that(Behaviour::Refuses));
    hangs.set_health(Health::Hangs);
    let balancer = over(&[&hangs, &dead], json!({ "timeout": "1h" }));
    balancer.wait_for_states(&["healthy", "unhealthy"]);
}

#[test]
fn a_verdict_is_logged_with_the_backend_s_url() {
    let mut backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    backend.stop();
    let line = balancer.wait_for_log("msg=\"backend marked UNHEALTHY\"");
    for (name, value) in [("level", "WARN"), ("component", "health_checker")] {
        assert!(fields(&line).contains(&(name.into(), value.into())), "{line}");
    }
    assert!(fields(&line).contains(&("backend".into(), backend.url())), "{line}");
    backend.restart();
    let line = balancer.wait_for_log("msg=\"backend marked HEALTHY\"");
    assert!(fields(&line).contains(&("backend".into(), backend.url())), "{line}");
}

#[test]
fn clients_do_not_notice_a_backend_that_dies_and_comes_back() {
    let mut backends = ["0", "1", "2"].map(Backend::named);
    let balancer = Balancer::over(&backends.each_ref()).once_probed();
    backends[1].stop();
    eventually("the dead one has left", || {
        assert_ne!(balancer.get("/").text(), "1");
        balancer.states()[1] == "unhealthy"
    });
    backends[1].restart();
    eventually("it has come back", || balancer.get("/").text() == "1");
    assert_eq!(balancer.metrics()["failed_requests"], 0);
}

#[test]
fn clients_do_not_notice_a_backend_that_fails_all_but_its_probes() {
    let backends = ["0", "1", "2"].map(Backend::named);
    backends[2].set_failing(true);
    let balancer = Balancer::over(&backends.each_ref());
    for _ in 0..6 {
        assert_ne!(balancer.get("/").text(), "2");
    }
    let metrics = balancer.metrics_after(6);
    assert!(metrics["retry_attempts"].as_u64() >= Some(1), "{metrics}");
    assert_eq!(metrics["failed_requests"], 0);
}

#[test]
fn probes_ask_for_the_configured_path() {
    let backend = Backend::that(Behaviour::Answers(Answer { status: 299, ..Answer::ok("") }));
    let check = json!({ "path": "/ready?deep=1", "expect_status": "299" });
    let balancer = over(&[&backend], check);
    let asked = backend.wait_for(2);
    assert_eq!(asked.start, "GET /ready?deep=1 HTTP/1.1");
    assert!(asked.header("host").is_some());
    balancer.wait_for_states(&["healthy"]);
}

/// Counted from before the start: a probe that is seen late says nothing of the next.
#[test]
fn probes_come_once_an_interval_and_no_more_often() {
    const INTERVAL: Duration = Duration::from_millis(100);
    const PROBES: usize = 20;
    let backend = Backend::named("one");
    let starts = Instant::now();
    let _balancer = over(&[&backend], json!({ "interval": "100ms" }));
    backend.wait_for_probes(PROBES);
    for (number, at) in (0..).zip(backend.probed_at()) {
        let after = at - starts;
        assert!(after >= INTERVAL.mul_f64(0.9) * number, "probe {number} after {after:?}");
    }
    let all = backend.probed_at()[PROBES - 1] - starts;
    assert!(all < INTERVAL * PROBES as u32 + patience() / 4, "{PROBES} probes took {all:?}");
}

/// They begin at once. With the same interval for all and nothing else they would stay together.
#[test]
fn probes_of_many_backends_drift_apart() {
    const SPREAD: Duration = Duration::from_millis(60);
    let backends: Vec<_> = (0..12).map(|_| Backend::named("one")).collect();
    let _balancer = over(&backends.iter().collect::<Vec<_>>(), json!({ "interval": "300ms" }));
    let spread = || {
        let times: Vec<Vec<Instant>> = backends.iter().map(Backend::probed_at).collect();
        let rounds = times.iter().map(Vec::len).min().unwrap();
        let last: Vec<Instant> =
            times.iter().filter_map(|times| Some(times[rounds.checked_sub(1)?])).collect();
        Some(*last.iter().max()? - *last.iter().min()?)
    };
    eventually("the probes of a round are apart", || spread().is_some_and(|spread| spread >= SPREAD));
}

#[test]
fn lb_health_says_whether_anything_can_be_served() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    let balancer = Balancer::over(&[&one, &two]);
    assert_eq!(balancer.get("/lb-health").status, 200);
    one.set_healthy(false);
    balancer.wait_for_states(&["unhealthy", "healthy"]);
    assert_eq!(balancer.get("/lb-health").status, 200);
    two.set_healthy(false);
    balancer.wait_for_states(&["unhealthy", "unhealthy"]);
    let unwell = balancer.get("/lb-health");
    assert_eq!((unwell.status, unwell.header("x-lb-reason")), (503, Some("no_healthy_backend")));
    assert_eq!(unwell.header("retry-after"), Some("1"));
    one.set_healthy(true);
    eventually("it recovers", || balancer.get("/lb-health").status == 200);
}
