//! The least and the most of every number in the file: it starts, and answers as it should.

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Client, config, eventually};

fn started_with(more: Value) -> (Backend, Balancer) {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], more));
    let answer = balancer.get("/");
    assert_eq!((answer.status, answer.text()), (200, "one"));
    (backend, balancer)
}

#[test]
fn the_least_of_every_number_works() {
    let (_backend, balancer) = started_with(json!({
        "workers": 1,
        "health_check": { "healthy_threshold": 1, "unhealthy_threshold": 1 },
        "retry": { "max_retries": 0, "delay": "0s", "buffer_body": 0, "budget_percent": 0 },
        "timeouts": { "backend_idle": "1ms", "queue": "0s", "pre_drain": "0s", "drain": "0s", "resolve": "1ms" },
        "limits": {
            "max_connections": 1, "max_connections_per_ip": 1, "max_queue": 0, "max_streams": 0,
            "max_header_bytes": "1KiB", "max_body_bytes": 0, "max_idle_per_backend": 0,
        },
        "rate_limit": { "enabled": true, "requests_per_second": 0.00001, "burst": 1 },
        "circuit_breaker": { "failures": 1, "window": "1ms", "cooldown": "1ms" },
    }));
    // With one worker, no queue and one connection at once, the one before must be over: else 503, or a reset.
    let answer = eventually("a worker has it", || {
        let mut client = Client::connect(balancer.address());
        client.send_if_open("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.try_read_response_to("GET").ok().filter(|answer| answer.status != 503)
    });
    assert_eq!((answer.status, answer.header("x-lb-reason")), (429, Some("rate_limited")));
    // A little less than 100,000 s, and no longer than a day.
    assert_eq!(answer.header("retry-after"), Some("86400"));
}

#[test]
fn the_most_of_every_number_works() {
    let day = "24h";
    let (_backend, balancer) = started_with(json!({
        "workers": 4096,
        "health_check": {
            "port": null, "interval": day, "timeout": day, "healthy_threshold": 1000, "unhealthy_threshold": 1000,
        },
        "retry": { "max_retries": 100, "delay": day, "buffer_body": "64MiB", "budget_percent": 100 },
        "timeouts": {
            "connect": day, "request": day, "backend_idle": day, "queue": day, "client_header": day,
            "client_body": day, "client_idle": day, "client_write": day, "pre_drain": "0s", "drain": day,
            "resolve": day,
        },
        "limits": {
            "max_connections": 1_000_000, "max_connections_per_ip": 1_000_000, "max_queue": 1_000_000,
            "max_streams": 65_536, "max_header_bytes": "1MiB", "max_body_bytes": u64::MAX,
            "max_idle_per_backend": 1_000_000,
        },
        "rate_limit": { "enabled": true, "requests_per_second": 1e9, "burst": 1_000_000_000 },
        "circuit_breaker": { "failures": 1000, "window": day, "cooldown": day },
        "slow_start": day,
    }));
    let answer = balancer.ask("POST", "/", &[], b"a body");
    assert_eq!((answer.status, answer.text()), (200, "one"));
    assert_eq!(balancer.metrics()["failed_requests"], 0);
}
