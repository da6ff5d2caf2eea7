//! `/lb-metrics`: its fields, and figures that add up.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Health, config};

#[test]
fn the_page_has_the_promised_fields() {
    let (one, two) = (Backend::named("one"), Backend::named("two"));
    two.set_healthy(false);
    let balancer = Balancer::over(&[&one, &two]).once_probed();
    let answer = balancer.get("/lb-metrics");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let page = answer.json();
    let numbers = "uptime_seconds total_requests success_requests failed_requests retry_attempts \
                   avg_latency_ms healthy_backends total_backends rate_limited_requests";
    for name in numbers.split_whitespace() {
        assert!(page[name].is_number(), "{name} in {page}");
    }
    assert_eq!((&page["healthy_backends"], &page["total_backends"]), (&json!(1), &json!(2)));
    for (entry, backend, state) in [(0, &one, "healthy"), (1, &two, "unhealthy")] {
        assert_entry(&page["backends"][entry], backend, state);
    }
}

fn assert_entry(entry: &Value, backend: &Backend, state: &str) {
    assert_eq!(entry["url"], backend.url());
    assert_eq!(entry["state"], state);
    for name in ["active_connections", "total_requests", "total_failures"] {
        assert!(entry[name].is_u64(), "{name} in {entry}");
    }
    let checked = entry["last_checked"].as_str().expect("it was probed");
    humantime::parse_rfc3339(checked).expect("RFC 3339, in UTC");
}

#[test]
fn a_fresh_balancer_has_counted_nothing() {
    let backend = Backend::named("one");
    backend.set_health(Health::Hangs);
    let balancer = Balancer::over(&[&backend]);
    let page = balancer.metrics();
    for name in ["total_requests", "success_requests", "failed_requests", "retry_attempts"] {
        assert_eq!(page[name], 0, "{name}");
    }
    assert_eq!(page["avg_latency_ms"].as_f64(), Some(0.0));
    assert_eq!(page["backends"][0]["total_requests"], 0, "probes are no requests");
}

#[test]
fn own_endpoints_are_not_counted() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for _ in 0..5 {
        balancer.metrics();
        balancer.get("/lb-health");
    }
    balancer.get("/");
    let page = balancer.metrics_after(1);
    assert_eq!(page["success_requests"], 1);
    assert_eq!(page["failed_requests"], 0);
    assert_eq!(backend.asked().len(), 1, "they are not passed on either");
}

#[test]
fn an_answer_counts_as_success_whatever_its_status() {
    let answer = Answer { status: 500, ..Answer::ok("oops") };
    let backend = Backend::that(Behaviour::Answers(answer));
    let balancer = Balancer::over(&[&backend]);
    assert_eq!(balancer.get("/").status, 500);
    let page = balancer.metrics_after(1);
    assert_eq!((&page["success_requests"], &page["failed_requests"]), (&json!(1), &json!(0)));
}

/// Requests of the test below.
const MIXED: u64 = 1_000;

#[test]
fn figures_add_up_after_a_thousand_mixed_requests() {
    let backends = ["0", "1", "2"].map(Backend::named);
    backends[2].set_failing(true);
    let limit = json!({ "enabled": true, "requests_per_second": 1, "burst": 20 });
    // The breaker would take the failing one out.
    let more = json!({ "rate_limit": limit, "circuit_breaker": { "enabled": false } });
    let balancer = Balancer::start(config(&backends.each_ref(), more));
    let (mut answered, mut failed, mut limited) = (0, 0, 0);
    for number in 0..MIXED {
        match send(&balancer, number) {
            200 => answered += 1,
            502 => failed += 1,
            429 => limited += 1,
            other => panic!("status {other} at request {number}"),
        }
    }
    assert!(answered > 0 && failed > 0 && limited > 0, "{answered} {failed} {limited}");
    let page = balancer.metrics_after(answered + failed);
    assert_eq!(page["success_requests"], answered);
    assert_eq!(page["failed_requests"], failed);
    balancer.metrics_when("rate_limited_requests", limited);
    let retries = page["retry_attempts"].as_u64().unwrap();
    assert_eq!(sum(&page, "total_requests"), answered + failed + retries, "{page}");
    assert_eq!(sum(&page, "total_failures"), failed + retries, "{page}");
    assert_eq!(sum(&page, "active_connections"), 0, "{page}");
    for (backend, entry) in backends.iter().zip(page["backends"].as_array().unwrap()) {
        assert_eq!(entry["total_requests"], backend.asked().len(), "{entry}");
    }
}

/// Every third one is a POST; every tenth one comes from the same client.
fn send(balancer: &Balancer, number: u64) -> u16 {
    let greedy = number.is_multiple_of(10);
    let host = if greedy { 0 } else { u32::try_from(number).unwrap() };
    let client = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + host).to_string();
    let method = if number.is_multiple_of(3) { "POST" } else { "GET" };
    balancer.ask(method, "/", &[("X-Forwarded-For", &client)], b"").status
}

fn sum(page: &Value, name: &str) -> u64 {
    let backends = page["backends"].as_array().unwrap();
    backends.iter().map(|backend| backend[name].as_u64().unwrap()).sum()
}
