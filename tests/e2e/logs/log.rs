//! The event log on standard error and the access lines on standard output.

use serde_json::json;

use crate::support::{Backend, Balancer, Signal, config, eventually, fields};

fn one() -> (Backend, Balancer) {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    (backend, balancer)
}

fn value(line: &str, name: &str) -> String {
    let found: Vec<_> = fields(line).into_iter().filter(|(key, _)| key == name).collect();
    assert_eq!(found.len(), 1, "{name} in {line}");
    found[0].1.clone()
}

#[test]
fn every_line_is_a_time_and_logfmt() {
    let (mut backend, mut balancer) = one();
    balancer.get("/x");
    backend.stop();
    balancer.wait_for_log("UNHEALTHY");
    balancer.get("/y");
    balancer.signal(Signal::TERM);
    balancer.wait_exit();
    let lines = [balancer.log_lines(), balancer.access_lines()].concat();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        humantime::parse_rfc3339(&value(&line, "time")).expect(&line);
        let level = value(&line, "level");
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level.as_str()), "{line}");
        assert!(!value(&line, "component").is_empty(), "{line}");
    }
}

#[test]
fn an_access_line_says_what_happened() {
    let (backend, balancer) = one();
    balancer.ask("GET", "/a?b", &[("X-Forwarded-For", "192.0.2.1"), ("X-Request-ID", "id-1")], b"");
    let line = balancer.wait_for_access("/a?b");
    let expected = [
        ("method", "GET"),
        ("path", "/a?b"),
        ("status", "200"),
        ("client", "192.0.2.1"),
        ("backend", &backend.url()),
        ("attempts", "1"),
        ("bytes", "3"),
        ("request_id", "id-1"),
    ];
    for (name, expected) in expected {
        assert_eq!(value(&line, name), expected, "{line}");
    }
    assert!(value(&line, "latency_ms").parse::<f64>().unwrap() >= 0.0, "{line}");
}

#[test]
fn a_client_can_not_forge_a_line_or_a_field() {
    let (_backend, balancer) = one();
    let forged = "x\" status=200 level=ERROR msg=\"owned";
    balancer.ask("GET", "/f%0alevel=ERROR\"status=500", &[("X-Request-ID", forged)], b"");
    let line = eventually("its access line", || balancer.access_lines().pop());
    assert_eq!(balancer.access_lines().len(), 1);
    assert_eq!(value(&line, "path"), "/f%0alevel=ERROR\"status=500");
    assert_eq!(value(&line, "status"), "200");
    assert_eq!(value(&line, "level"), "INFO");
    assert_ne!(value(&line, "request_id"), forged);
}

#[test]
fn the_client_is_the_one_that_trusted_proxies_name() {
    let backend = Backend::named("one");
    let more = json!({ "trusted_proxies": ["127.0.0.0/8", "198.51.100.0/24"] });
    let balancer = Balancer::start(config(&[&backend], more));
    balancer.get_for("203.0.113.9, 192.0.2.1, 198.51.100.7", "/x");
    assert_eq!(value(&balancer.wait_for_access("/x"), "client"), "192.0.2.1");
}

#[test]
fn the_client_of_a_stranger_is_the_stranger() {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], json!({ "trusted_proxies": [] })));
    balancer.get_for("192.0.2.1", "/x");
    assert_eq!(value(&balancer.wait_for_access("/x"), "client"), "127.0.0.1");
}

#[test]
fn a_failed_request_has_its_line_too() {
    let (backend, balancer) = one();
    backend.set_healthy(false);
    balancer.wait_for_states(&["unhealthy"]);
    balancer.get("/x");
    let line = balancer.wait_for_access("/x");
    assert_eq!(value(&line, "status"), "503");
    assert_eq!(value(&line, "attempts"), "0");
}

#[test]
fn without_access_log_there_are_no_access_lines() {
    let backend = Backend::named("one");
    let mut balancer = Balancer::start(config(&[&backend], json!({ "access_log": false })));
    balancer.get("/x");
    balancer.signal(Signal::TERM);
    balancer.wait_exit();
    assert_eq!(balancer.access_lines(), Vec::<String>::new());
}
