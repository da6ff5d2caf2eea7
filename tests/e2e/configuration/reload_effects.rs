//! A changed file, group by group: not what the log says of it, but what requests meet from then on.

use serde_json::{Value, json};

use crate::support::{
    Answer, Backend, Balancer, Behaviour, ByHand, Framing, behind_front, config, eventually, patience,
};

/// Lays this over the first configuration and waits until it holds; `change` is how the log names it.
#[track_caller]
fn reload(balancer: &Balancer, config: &Value, change: &str) {
    balancer.write_config(&config.to_string());
    let line = balancer.wait_for_log("configuration reloaded");
    assert!(line.contains(change), "{line}");
}

#[test]
fn health_checks_ask_for_the_new_path() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    backend.wait_for_probes(2);
    assert_eq!(backend.asked().len(), 0);
    let new = config(&[&backend], json!({ "health_check": { "path": "/ready" } }));
    reload(&balancer, &new, "health_check.path /health -> /ready");
    eventually("the new path is probed", || {
        backend.asked().iter().any(|asked| asked.start == "GET /ready HTTP/1.1")
    });
}

#[test]
fn health_checks_judge_by_the_new_status() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]).once_probed();
    assert_eq!(balancer.states(), ["healthy"]);
    let new = config(&[&backend], json!({ "health_check": { "expect_status": "204" } }));
    reload(&balancer, &new, "health_check.expect_status");
    balancer.wait_for_states(&["unhealthy"]);
    assert_eq!(balancer.get("/").status, 503);
}

#[test]
fn health_checks_do_not_wait_for_the_old_interval_to_pass() {
    let backend = Backend::named("one");
    let of = |interval: &str| config(&[&backend], json!({ "health_check": { "interval": interval } }));
    let balancer = Balancer::start(of("1h")).once_probed();
    backend.set_healthy(false);
    reload(&balancer, &of("50ms"), "health_check.interval 1h -> 50ms");
    balancer.wait_for_states(&["unhealthy"]);
}

#[test]
fn a_rate_limit_comes_and_goes() {
    let backend = Backend::named("one");
    let without = config(&[&backend], json!({}));
    let balancer = Balancer::start(without.clone());
    let passes = || (0..20).filter(|_| balancer.get("/").status == 200).count();
    assert_eq!(passes(), 20);
    // The next token is a quarter of an hour away.
    let limit = json!({ "enabled": true, "requests_per_second": 0.001, "burst": 3 });
    let new = config(&[&backend], json!({ "rate_limit": limit }));
    reload(&balancer, &new, "rate_limit.enabled false -> true");
    assert_eq!(passes(), 3);
    assert_eq!(balancer.get("/").status, 429);
    balancer.write_config(&without.to_string());
    balancer.wait_for_log("rate_limit.enabled true -> false");
    assert_eq!(passes(), 20);
}

#[test]
fn limits_of_bodies_and_heads_are_the_new_ones() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let long = "x".repeat(5000);
    let ask = || {
        let body = balancer.ask("POST", "/", &[], long.as_bytes()).status;
        (body, balancer.ask("GET", "/", &[("X-A", &long)], b"").status)
    };
    assert_eq!(ask(), (200, 200));
    let limits = json!({ "max_body_bytes": "4KiB", "max_header_bytes": "4KiB" });
    reload(&balancer, &config(&[&backend], json!({ "limits": limits })), "limits.max_body_bytes");
    assert_eq!(ask(), (413, 431));
}

#[test]
fn the_limit_of_tunnels_is_the_new_one() {
    let grants = Answer {
        status: 101,
        headers: vec![("Connection", "Upgrade"), ("Upgrade", "echo")],
        framing: Framing::UntilClose,
        ..Answer::ok("")
    };
    let backend = Backend::that(Behaviour::Answers(grants));
    let balancer = Balancer::over(&[&backend]);
    let upgrade = || balancer.ask("GET", "/", &[("Connection", "Upgrade"), ("Upgrade", "echo")], b"");
    assert_eq!(upgrade().status, 101);
    let new = config(&[&backend], json!({ "limits": { "max_streams": 0 } }));
    reload(&balancer, &new, "limits.max_streams 1024 -> 0");
    assert_eq!(upgrade().header("x-lb-reason"), Some("too_many_streams"));
}

#[test]
fn no_more_connections_are_taken_than_the_new_limit_allows() {
    if !behind_front() {
        return; // tiny_http has no limits of number
    }
    let backend = Backend::named("one");
    // Only the limit closes a connection here.
    let timeouts = json!({ "client_header": "1h", "client_idle": "1h" });
    let of = |limits: Value| config(&[&backend], json!({ "timeouts": timeouts, "limits": limits }));
    let balancer = Balancer::start(of(json!({})));
    let mut clients: Vec<_> = (0..5).map(|_| balancer.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    let new = of(json!({ "max_connections_per_ip": 2 }));
    reload(&balancer, &new, "limits.max_connections_per_ip null -> 2");
    assert!(balancer.connect().is_closed_within(patience()));
    drop(clients);
    eventually("there is room again", || {
        let mut client = balancer.connect();
        client.send_if_open("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        client.try_read_response_to("GET").is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn an_idle_client_is_let_go_after_the_new_time() {
    if !behind_front() {
        return; // tiny_http has no limits of time
    }
    let backend = Backend::named("one");
    let of = |idle: &str| config(&[&backend], json!({ "timeouts": { "client_idle": idle } }));
    let balancer = Balancer::start(of("1h"));
    let mut client = balancer.connect();
    assert_eq!(client.get("/").status, 200);
    reload(&balancer, &of("200ms"), "timeouts.client_idle 1h -> 200ms");
    assert_eq!(client.read_to_close(), b"");
}

#[test]
fn a_shorter_timeout_cuts_the_next_wait_short() {
    let backend = Backend::that(Behaviour::Hangs);
    let of = |request: &str| {
        let more = json!({ "timeouts": { "request": request }, "retry": { "max_retries": 0 } });
        config(&[&backend], more)
    };
    let balancer = Balancer::start(of("1h"));
    let _before = balancer.asking("/before");
    backend.wait_for(1);
    reload(&balancer, &of("200ms"), "timeouts.request 1h -> 200ms");
    assert_eq!(balancer.get("/after").status, 504);
    // A request keeps to what held when it came.
    balancer.metrics_after(1);
    balancer.metrics_when("active_requests", 1);
}

#[test]
fn without_retries_a_failure_is_passed_on() {
    let (good, bad) = (Backend::named("good"), Backend::that(Behaviour::ClosesBeforeHead));
    let of = |most: u32| {
        let more = json!({ "retry": { "max_retries": most }, "circuit_breaker": { "enabled": false } });
        config(&[&good, &bad], more)
    };
    let balancer = Balancer::start(of(2));
    let statuses = || {
        let mut statuses = [0; 4].map(|_| balancer.get("/").status);
        statuses.sort_unstable();
        statuses
    };
    assert_eq!(statuses(), [200; 4]);
    reload(&balancer, &of(0), "retry.max_retries 2 -> 0");
    let before = balancer.metrics_after(4)["retry_attempts"].clone();
    assert_eq!(statuses(), [200, 200, 502, 502]);
    assert_eq!(balancer.metrics_after(8)["retry_attempts"], before);
}

#[test]
fn a_breaker_opens_at_the_new_number_of_failures() {
    let (good, bad) = (Backend::named("good"), Backend::that(Behaviour::ClosesBeforeHead));
    let of = |failures: u32| {
        let breaker = json!({ "failures": failures, "window": "1h", "cooldown": "1h" });
        config(&[&good, &bad], json!({ "circuit_breaker": breaker }))
    };
    let balancer = Balancer::start(of(100));
    let state_after = |requests| {
        (0..requests).for_each(|_| assert_eq!(balancer.get("/").text(), "good"));
        balancer.metrics()["backends"][1]["breaker"].clone()
    };
    assert_eq!(state_after(20), "closed");
    reload(&balancer, &of(2), "circuit_breaker.failures 100 -> 2");
    assert_eq!(state_after(6), "open");
    let asked = bad.heads();
    state_after(6);
    assert_eq!(bad.heads(), asked, "it gets nothing more");
}

#[test]
fn a_backend_that_stays_keeps_its_connections() {
    let (backend, leaving) = (ByHand::start(), Backend::named("leaving"));
    let of = |more: Value| {
        let mut config = backend.config(more);
        config["timeouts"]["backend_idle"] = json!("1h");
        config
    };
    let mut first = of(json!({}));
    let spare = json!({ "url": leaving.url(), "backup": true });
    first["backends"].as_array_mut().unwrap().push(spare);
    let balancer = Balancer::start(first);
    let ask = |path: &str| {
        let mut client = balancer.connect();
        client.ask("GET", path, &[], b"");
        let mut exchange = backend.next();
        assert_eq!(exchange.target(), path);
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.read_response().status, 200);
        balancer.wait_until_idle();
        let peer = exchange.stream().peer_addr().unwrap();
        exchange.keep_alive();
        peer
    };
    let connection = ask("/before");
    assert_eq!(ask("/again"), connection, "it is kept alive without a reload");
    let new = of(
        json!({ "algorithm": "least_conn", "timeouts": { "request": patience().as_secs().to_string() + "s" } }),
    );
    reload(&balancer, &new, "-1 backend");
    assert_eq!(ask("/after"), connection);
}
