//! The rate limit, and the limits of sizes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, Backend, Balancer, Behaviour, balancer_by_hand, config, eventually, let_pass};

/// Five requests, and then one an hour or so.
fn limited(backend: &Backend) -> Balancer {
    let limit = json!({ "enabled": true, "requests_per_second": 1, "burst": 5 });
    Balancer::start(config(&[backend], json!({ "rate_limit": limit })))
}

/// Requests of this client until one is refused; at most so many.
fn until_refused(balancer: &Balancer, client: &str) -> usize {
    (0..1000).take_while(|_| balancer.get_for(client, "/").status == 200).count()
}

#[test]
fn a_client_over_its_rate_is_told_when_to_come_back() {
    let backend = Backend::named("one");
    let balancer = limited(&backend);
    let passed = until_refused(&balancer, "192.0.2.1");
    assert!((5..1000).contains(&passed), "{passed} passed of a burst of 5");
    let refused = (0..100)
        .map(|_| balancer.get_for("192.0.2.1", "/"))
        .find(|answer| answer.status == 429)
        .expect("faster than one a second");
    assert_eq!(refused.header("x-lb-reason"), Some("rate_limited"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.header("x-request-id").is_some());
}

/// The next token is a quarter of an hour away.
#[test]
fn a_burst_passes_at_once_and_no_request_more() {
    let backend = Backend::named("one");
    let limit = json!({ "enabled": true, "requests_per_second": 0.001, "burst": 3 });
    let balancer = Balancer::start(config(&[&backend], json!({ "rate_limit": limit })));
    let statuses: Vec<_> = (0..10).map(|_| balancer.get_for("192.0.2.1", "/").status).collect();
    assert_eq!(statuses, [[200; 3].as_slice(), &[429; 7]].concat());
    let refused = balancer.get_for("192.0.2.1", "/");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((800..=1000).contains(&seconds), "{seconds} s");
}

#[test]
fn who_comes_back_when_told_is_served() {
    let backend = Backend::named("one");
    let limit = json!({ "enabled": true, "requests_per_second": 0.5, "burst": 1 });
    let balancer = Balancer::start(config(&[&backend], json!({ "rate_limit": limit })));
    for _ in 0..2 {
        let refused = eventually("it is too much", || {
            Some(balancer.get_for("192.0.2.1", "/")).filter(|answer| answer.status == 429)
        });
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=2).contains(&seconds), "{seconds} s");
        let_pass(Duration::from_secs(seconds));
        assert_eq!(balancer.get_for("192.0.2.1", "/").status, 200);
    }
}

#[test]
fn no_more_pass_than_the_burst_and_the_rate_allow() {
    let backend = Backend::named("one");
    let limit = json!({ "enabled": true, "requests_per_second": 10, "burst": 3 });
    let balancer = Balancer::start(config(&[&backend], json!({ "rate_limit": limit })));
    let (begun, mut passed) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(1) {
        passed += u32::from(balancer.get_for("192.0.2.1", "/").status == 200);
        let allowed = 3.0 + 10.0 * begun.elapsed().as_secs_f64();
        assert!(f64::from(passed) <= allowed, "{passed} after {:?}", begun.elapsed());
    }
    assert!(passed > 3, "some came back in time");
}

#[test]
fn other_clients_are_served_on() {
    let backend = Backend::named("one");
    let balancer = limited(&backend);
    until_refused(&balancer, "192.0.2.1");
    assert_eq!(balancer.get_for("192.0.2.2", "/").status, 200);
    assert_eq!(balancer.get_for("2001:db8::1", "/").status, 200);
}

#[test]
fn what_is_refused_reaches_no_backend_and_counts_apart() {
    let backend = Backend::named("one");
    let balancer = limited(&backend);
    let passed = until_refused(&balancer, "192.0.2.1");
    balancer.metrics_when("rate_limited_requests", 1);
    let page = balancer.metrics_after(passed as u64);
    assert_eq!(page["success_requests"], passed);
    assert_eq!(page["failed_requests"], 0);
    assert_eq!(backend.asked().len(), passed);
}

#[test]
fn own_endpoints_are_not_limited() {
    let backend = Backend::named("one");
    let balancer = limited(&backend);
    for _ in 0..20 {
        assert_eq!(balancer.get_for("192.0.2.1", "/lb-health").status, 200);
    }
}

#[test]
fn without_a_rate_limit_there_is_none() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for _ in 0..300 {
        assert_eq!(balancer.get_for("192.0.2.1", "/").status, 200);
    }
}

#[test]
fn a_stranger_can_not_pass_for_others() {
    let backend = Backend::named("one");
    let limit = json!({ "enabled": true, "requests_per_second": 1, "burst": 5 });
    let more = json!({ "rate_limit": limit, "trusted_proxies": [] });
    let balancer = Balancer::start(config(&[&backend], more));
    let statuses: Vec<_> = (0..100).map(|n| balancer.get_for(&format!("192.0.2.{n}"), "/").status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_body_over_its_limit_is_refused_and_one_at_it_is_not() {
    let backend = Backend::named("one");
    let more = json!({ "limits": { "max_body_bytes": "1KiB" } });
    let balancer = Balancer::start(config(&[&backend], more));
    assert_eq!(balancer.ask("POST", "/", &[], &[b'x'; 1024]).status, 200);
    let refused = balancer.ask("POST", "/", &[], &[b'x'; 1025]);
    assert_eq!(refused.status, 413);
    assert_eq!(refused.header("x-lb-reason"), Some("body_too_large"));
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn a_head_over_its_limit_is_refused() {
    let backend = Backend::named("one");
    let more = json!({ "limits": { "max_header_bytes": "4KiB" } });
    let balancer = Balancer::start(config(&[&backend], more));
    let long = "x".repeat(3000);
    assert_eq!(balancer.ask("GET", "/", &[("X-A", &long)], b"").status, 200);
    let refused = balancer.ask("GET", "/", &[("X-A", &long), ("X-B", &long)], b"");
    assert_eq!(refused.status, 431);
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn the_balancers_own_pages_need_no_worker() {
    let held = Backend::that(Behaviour::Holds(Answer::ok("held")));
    let more = json!({ "workers": 1, "limits": { "max_queue": 1 }, "timeouts": { "queue": "30s" } });
    let balancer = Balancer::start(config(&[&held], more));
    let mut clients = [balancer.connect(), balancer.connect()];
    clients[0].ask("GET", "/", &[], b"");
    held.wait_for(1);
    clients[1].ask("GET", "/", &[], b"");
    balancer.metrics_when("queued_requests", 1);
    assert_eq!(balancer.get("/lb-health").status, 200);
    assert_eq!(balancer.get("/").header("x-lb-reason"), Some("queue_full"));
    held.release();
    clients.iter_mut().for_each(|client| assert_eq!(client.read_response().text(), "held"));
    let metrics = balancer.metrics_after(3);
    assert_eq!((&metrics["success_requests"], &metrics["failed_requests"]), (&json!(2), &json!(1)));
}

#[test]
fn no_more_idle_connections_are_kept_to_a_backend_than_may_be() {
    const REQUESTS: usize = 6;
    for most in [0, 2] {
        let limits = json!({ "max_idle_per_backend": most });
        let (backend, balancer) =
            balancer_by_hand(json!({ "limits": limits, "timeouts": { "backend_idle": "1h" } }));
        let mut clients: Vec<_> = (0..REQUESTS).map(|_| balancer.connect()).collect();
        clients.iter_mut().for_each(|client| client.ask("GET", "/", &[], b""));
        let mut exchanges: Vec<_> = (0..REQUESTS).map(|_| backend.next()).collect();
        for exchange in &mut exchanges {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.read_response().status, 200));
        let mut is_open = |wait| {
            exchanges.retain_mut(|exchange| !exchange.is_ended_within(wait));
            exchanges.len()
        };
        let wait = Duration::from_millis(60);
        eventually("the surplus is closed", || is_open(wait) <= most);
        assert_eq!(is_open(4 * wait), most, "the others stay");
    }
}
