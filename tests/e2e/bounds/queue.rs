//! The line before the workers: how long it may get, for how long one waits in it, who leaves it early.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Backend, Balancer, ByHand, Client, Exchange, balancer_by_hand, behind_front, config, eventually, soon,
};

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";

/// One worker, held by a request.
fn stuck(more: Value) -> (ByHand, Balancer, Client, Exchange) {
    let mut all = json!({ "workers": 1 });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (backend, balancer) = balancer_by_hand(all);
    let holding = balancer.asking("/holding");
    let exchange = backend.next();
    (backend, balancer, holding, exchange)
}

#[test]
fn a_full_queue_is_503_and_what_waits_in_it_is_served() {
    let (backend, balancer, mut holding, mut held) = stuck(json!({ "limits": { "max_queue": 2 } }));
    let mut clients: Vec<_> = (0..5).map(|_| balancer.asking("/waiting")).collect();
    let mut refused = Vec::new();
    eventually("three are refused", || {
        let answered = |client: &mut Client| client.is_answered_within(Duration::from_millis(1));
        refused.extend(clients.extract_if(.., answered));
        refused.len() == 3
    });
    for client in &mut refused {
        let answer = client.read_response();
        assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("queue_full")));
        assert!(answer.header("retry-after").is_some());
    }
    held.send(PLAIN);
    held.keep_alive();
    assert_eq!(holding.read_response().text(), "plain");
    for _ in 0..2 {
        let mut exchange = backend.next();
        exchange.send(PLAIN);
        exchange.keep_alive();
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.read_response().text(), "plain"));
}

#[test]
fn what_waits_too_long_is_503_while_all_workers_are_stuck() {
    let (backend, balancer, mut holding, mut held) = stuck(json!({ "timeouts": { "queue": "300ms" } }));
    let mut client = balancer.asking("/waiting");
    let answer = client.read_response();
    assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("queue_timeout")));
    held.send(PLAIN);
    assert_eq!(holding.read_response().text(), "plain");
    assert!(backend.is_left_alone_for(Duration::from_millis(100)));
}

#[test]
fn a_waiting_request_whose_client_has_gone_reaches_no_backend() {
    if !behind_front() {
        return; // tiny_http does not tell that a client has gone
    }
    let (backend, balancer, mut holding, mut held) = stuck(json!({ "timeouts": { "queue": "30s" } }));
    for reset in [false, true] {
        let client = balancer.asking("/gone");
        balancer.metrics_when("queued_requests", 1);
        if reset {
            rustix::net::connect_unspec(client.stream()).unwrap();
        }
        drop(client);
        // There is no worker to ask: the guard has seen that it has gone.
        balancer.metrics_when("queued_requests", 0);
    }
    held.send(PLAIN);
    held.keep_alive();
    assert_eq!(holding.read_response().text(), "plain");
    balancer.wait_until_idle();
    assert!(backend.is_left_alone_for(Duration::from_millis(200)));
}

#[test]
fn who_has_gone_leaves_room_for_the_next() {
    if !behind_front() {
        return; // tiny_http does not tell that a client has gone
    }
    let (backend, balancer, mut holding, mut held) =
        stuck(json!({ "limits": { "max_queue": 1 }, "timeouts": { "queue": "1h" } }));
    for _ in 0..2 {
        let gone = balancer.asking("/waiting");
        balancer.metrics_when("queued_requests", 1);
        drop(gone);
        balancer.metrics_when("queued_requests", 0);
    }
    let mut patient = balancer.asking("/waiting");
    balancer.metrics_when("queued_requests", 1);
    held.send(PLAIN);
    held.keep_alive();
    assert_eq!(holding.read_response().text(), "plain");
    let mut exchange = backend.next();
    exchange.send(PLAIN);
    exchange.keep_alive();
    assert_eq!(patient.read_response().text(), "plain");
    balancer.metrics_when("queued_requests", 0);
}

#[test]
fn a_reload_makes_it_longer() {
    let (backend, balancer, _holding, _held) = stuck(json!({ "limits": { "max_queue": 1 } }));
    let _first = balancer.asking("/waiting");
    balancer.metrics_when("queued_requests", 1);
    assert_eq!(balancer.asking("/waiting").read_response().header("x-lb-reason"), Some("queue_full"));
    let more = json!({ "listen": "127.0.0.1:0", "workers": 1, "limits": { "max_queue": 2 } });
    balancer.write_config(&backend.config(more).to_string());
    balancer.wait_for_log("msg=\"configuration reloaded\"");
    let _second = balancer.asking("/waiting");
    balancer.metrics_when("queued_requests", 2);
}

#[test]
fn without_a_queue_nobody_waits_and_who_finds_a_free_worker_is_served() {
    let (_backend, balancer, mut holding, mut held) = stuck(json!({ "limits": { "max_queue": 0 } }));
    let refused = balancer.asking("/waiting").read_response();
    assert_eq!((refused.status, refused.header("x-lb-reason")), (503, Some("queue_full")));
    held.send(PLAIN);
    assert_eq!(holding.read_response().text(), "plain");
}

#[test]
fn without_a_queue_free_workers_take_what_comes() {
    let backend = Backend::named("one");
    let more = json!({ "workers": 2, "limits": { "max_queue": 0 } });
    let balancer = Balancer::start(config(&[&backend], more));
    let mut client = balancer.connect();
    (0..200).for_each(|_| assert_eq!(client.get("/").text(), "one"));
}

/// Requests that wait for a place with a backend: those of one pool are nothing to another.
#[test]
fn a_pool_whose_line_is_full_is_no_other_pool_s_business() {
    let (busy, other) = (ByHand::start(), ByHand::start());
    let mut config = busy.config(json!({ "listen": "127.0.0.1:0", "limits": { "max_queue": 1 } }));
    config["backends"][0]["max_connections"] = json!(1);
    let mut places = other.entry();
    places[0]["max_connections"] = json!(1);
    config["pools"] = json!({ "other": { "backends": places } });
    config["routes"] = json!([{ "path": "/other", "pool": "other" }]);
    let balancer = Balancer::start(config);
    let _holding = balancer.asking("/busy");
    let _held = busy.next();
    let mut waiting: Vec<_> = (0..2).map(|_| balancer.asking("/busy")).collect();
    eventually("one is refused, so one waits", || {
        waiting.iter_mut().any(|client| client.is_answered_within(Duration::from_millis(1)))
    });
    let mut first = balancer.asking("/other");
    let mut exchange = other.next();
    let mut second = balancer.asking("/other");
    exchange.send(PLAIN);
    exchange.keep_alive();
    assert_eq!(first.read_response().text(), "plain");
    other.next().send(PLAIN);
    assert_eq!(second.read_response().text(), "plain");
}

/// Their clients are still sending, and whoever ends an answer waits for those; nobody else may.
#[test]
fn refused_uploads_hold_nobody_up() {
    if !behind_front() {
        return; // a refusal waits for a client of tiny_http that is still sending
    }
    const UPLOADS: usize = 600;
    let (_backend, balancer, _holding, _held) = stuck(json!({ "limits": { "max_queue": 1 } }));
    let _first = balancer.asking("/waiting");
    balancer.metrics_when("queued_requests", 1);
    let uploads = (0..UPLOADS).map(|_| {
        let mut client = balancer.connect();
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nand so on");
        client
    });
    let mut uploads: Vec<_> = uploads.collect();
    let begun = Instant::now();
    assert_eq!(balancer.get("/lb-health").status, 200);
    assert!(begun.elapsed() < soon(), "{:?}", begun.elapsed());
    // Past a number of them they are not told one by one.
    for answer in uploads.iter_mut().filter_map(|client| client.try_read_response_to("POST").ok()) {
        assert_eq!(answer.header("x-lb-reason"), Some("queue_full"));
    }
    balancer.metrics_when("failed_requests", UPLOADS as u64);
}
