//! `/lb-metrics`: its fields, and figures that add up.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Health, config, python_with};

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

#[test]
fn percentiles_are_of_what_was_measured() {
    let slow = Backend::slow(Duration::from_millis(40));
    let balancer = Balancer::over(&[&slow]);
    (0..5).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    let page = balancer.metrics_after(5);
    for latency in [&page["latency_ms"], &page["backends"][0]["latency_ms"]] {
        let [p50, p90, p99, max] = ["p50", "p90", "p99", "max"].map(|name| latency[name].as_f64().unwrap());
        assert!(40.0 <= p50 && p50 <= p90 && p90 <= p99 && p99 <= max, "{latency}");
    }
}

#[test]
fn prometheus_reads_the_page_with_its_own_parser() {
    let backends = ["a", "b"].map(Backend::named);
    let balancer = Balancer::over(&backends.each_ref());
    (0..4).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    balancer.metrics_after(4);
    let page = balancer.get("/lb-metrics?format=prometheus");
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let accepted =
        balancer.ask("GET", "/lb-metrics", &[("Accept", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")], b"");
    assert!(accepted.text().starts_with("# HELP "));
    let Some(python) = python_with("prometheus_client") else {
        return;
    };
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/prometheus.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&page.body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let samples = String::from_utf8(output.stdout).unwrap();
    let url = backends[0].url();
    for expected in [
        "counter loadbalancer_requests_total result=success 4".to_owned(),
        format!("counter loadbalancer_backend_attempts_total backend={url},pool=default 2"),
        format!("gauge loadbalancer_backend_healthy backend={url},pool=default 1"),
        format!("histogram loadbalancer_backend_response_seconds_count backend={url},pool=default 2"),
        "histogram loadbalancer_request_duration_seconds_bucket le=+Inf 4".to_owned(),
    ] {
        assert!(samples.lines().any(|line| line == expected), "no {expected:?} in\n{samples}");
    }
}

/// Requests of every kind: good ones, some that are retried, some that fail, go away or are refused.
fn mixed_load(balancer: &Balancer, rounds: usize) {
    std::thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || {
                for round in 0..rounds {
                    let method = if (round + number) % 3 == 0 { "POST" } else { "GET" };
                    balancer.ask(method, "/", &[], b"body");
                    if round % 7 == 0 {
                        // Goes away in the middle.
                        balancer.connect().ask("GET", "/", &[], b"");
                    }
                    let other = format!("192.0.2.{}", round % 2);
                    balancer.get_for(&other, "/");
                }
            });
        }
    });
}

#[test]
fn the_laws_of_the_figures_hold_at_any_instant() {
    let backends =
        [Backend::named("good"), Backend::that(Behaviour::ClosesBeforeHead), Backend::named("other")];
    let settings = json!({
        // The tests' own peer has a bucket of its own, and uses it up as well.
        "rate_limit": { "enabled": true, "requests_per_second": 1, "burst": 100 },
        "circuit_breaker": { "enabled": false },
    });
    let balancer = Balancer::start(config(&backends.each_ref(), settings)).once_probed();
    let mut looks = 0;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| mixed_load(&balancer, 60));
        let mut client = balancer.connect();
        while !load.is_finished() {
            let audit = client.get("/lb-metrics?audit=1").json()["audit"].clone();
            assert_eq!(audit["holds"], true, "{audit:#}");
            looks += 1;
        }
    });
    assert!(looks > 5, "{looks} looks");
    balancer.wait_until_idle();
    let page = balancer.get("/lb-metrics?audit=1").json();
    assert_eq!(page["audit"]["holds"], true, "{page:#}");
    for figure in ["success_requests", "failed_requests", "retry_attempts", "rate_limited_requests"] {
        assert!(page[figure].as_u64() > Some(0), "{figure} in {page:#}");
    }
    assert_eq!(page["audit"]["laws"].as_array().unwrap().len(), 8);
    assert_eq!(balancer.metrics()["audit"], Value::Null, "only where it is asked for");
}
