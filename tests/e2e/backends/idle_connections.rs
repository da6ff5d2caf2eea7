//! Connections to a backend between two requests: how long they are kept, and that a dead one is found
//! out before anything is lost to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Balancer, ByHand, Exchange, balancer_by_hand, eventually, let_pass, patience};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// It keeps connections for an hour, it says.
const OK_FOR_LONG: &str = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3600\r\nContent-Length: 2\r\n\r\nok";

fn by_hand(backend_idle: &str) -> (ByHand, Balancer) {
    balancer_by_hand(json!({ "timeouts": { "backend_idle": backend_idle } }))
}

/// A request that is answered; the backend's side of its connection, which is idle now.
fn answered(backend: &ByHand, balancer: &Balancer, method: &str) -> Exchange {
    answered_with(OK, backend, balancer, method)
}

fn answered_with(answer: &str, backend: &ByHand, balancer: &Balancer, method: &str) -> Exchange {
    let mut client = balancer.connect();
    client.ask(method, "/", &[], b"");
    let mut exchange = backend.next();
    assert!(exchange.head.start.starts_with(method), "{}", exchange.head.start);
    exchange.send(answer);
    assert_eq!(client.read_response().text(), "ok");
    // Until then its connection may still be in use.
    balancer.wait_until_idle();
    exchange
}

/// The balancer's side of a connection.
fn port(exchange: &Exchange) -> SocketAddr {
    exchange.stream().peer_addr().unwrap()
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let (backend, balancer) = by_hand("1h");
    let first = answered_with(OK_FOR_LONG, &backend, &balancer, "GET");
    let kept = port(&first);
    first.keep_alive();
    // It has stayed open for long enough to do for what can't be sent again, though it is the backend's first.
    let_pass(Duration::from_millis(300));
    assert_eq!(port(&answered(&backend, &balancer, "POST")), kept);
}

#[test]
fn an_idle_connection_is_closed_when_its_time_is_up_and_the_next_request_gets_a_new_one() {
    const IDLE: Duration = Duration::from_millis(700);
    let (backend, balancer) = by_hand("700ms");
    let begun = Instant::now();
    let mut first = answered(&backend, &balancer, "GET");
    assert!(first.is_ended_within(patience()), "it is still open");
    assert!(begun.elapsed() >= IDLE, "closed after {:?}", begun.elapsed());
    let second = answered(&backend, &balancer, "POST");
    assert_ne!(port(&second), port(&first));
}

/// Old connections are looked for now and then only: between two looks nobody gets one all the same.
#[test]
fn a_connection_that_has_been_idle_for_too_long_is_not_used_even_where_it_is_still_open() {
    let more = json!({ "timeouts": { "backend_idle": "50ms" }, "health_check": { "interval": "1h" } });
    let (backend, balancer) = balancer_by_hand(more);
    let balancer = balancer.once_probed();
    let mut used = Vec::new();
    for _ in 0..10 {
        let exchange = answered(&backend, &balancer, "POST");
        used.push(port(&exchange));
        exchange.keep_alive();
        let_pass(Duration::from_millis(60));
    }
    let mut distinct = used.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), used.len(), "{used:?}");
}

/// A POST can't be sent again, so what is lost to a dead connection would be an error.
#[test]
fn no_post_is_lost_to_a_connection_that_the_backend_has_closed() {
    let (backend, balancer) = by_hand("1h");
    let farewells = ["", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"];
    for farewell in farewells.into_iter().cycle().take(10) {
        let mut first = answered(&backend, &balancer, "GET");
        let closed = port(&first);
        first.send(farewell);
        drop(first);
        let posted = answered(&backend, &balancer, "POST");
        assert_ne!(port(&posted), closed);
        // Closed as well, so that the next round begins without an idle one.
        drop(posted);
    }
    assert!(backend.is_left_alone_for(Duration::from_millis(200)), "each was sent once");
    assert_eq!(balancer.metrics_after(20)["retry_attempts"], 0);
}

/// A server may be about to close one just when the POST comes, as many do after 2 or 5 seconds: then its kernel takes
/// the request, the connection is reset, and nobody can tell whether it was read.
#[test]
fn a_post_takes_no_connection_that_has_been_idle_for_long_unless_the_backend_says_how_long_it_keeps_them() {
    const LONG: Duration = Duration::from_millis(900);
    let (backend, balancer) = by_hand("1h");
    let first = answered(&backend, &balancer, "GET");
    let old = port(&first);
    first.keep_alive();
    let_pass(LONG);
    let posted = answered(&backend, &balancer, "POST");
    assert_ne!(port(&posted), old);
    posted.keep_alive();
    let got = answered_with(OK_FOR_LONG, &backend, &balancer, "GET");
    let kept = port(&got);
    got.keep_alive();
    let_pass(LONG);
    assert_eq!(port(&answered(&backend, &balancer, "POST")), kept, "now it has been announced");
}

/// A server that serves one connection at a time would not look at the new one while the old one is open.
#[test]
fn the_connection_that_a_post_does_not_take_makes_room_for_a_new_one() {
    let (backend, balancer) = by_hand("1h");
    let mut first = answered(&backend, &balancer, "GET");
    let_pass(Duration::from_millis(900));
    let mut client = balancer.connect();
    client.ask("POST", "/", &[], b"");
    assert!(first.is_ended_within(patience()), "it is still open");
    backend.next().send(OK);
    assert_eq!(client.read_response().text(), "ok");
}

#[test]
fn what_a_backend_announces_holds_less_a_second() {
    let (backend, balancer) = by_hand("1h");
    let mut client = balancer.connect();
    client.ask("GET", "/", &[], b"");
    let mut exchange = backend.next();
    exchange.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2, max=100\r\nContent-Length: 2\r\n\r\nok");
    let answer = client.read_response();
    assert_eq!((answer.text(), answer.header("keep-alive")), ("ok", None));
    let begun = Instant::now();
    let entry = balancer.metrics()["backends"][0].clone();
    assert_eq!((&entry["idle_ms"], &entry["idle_source"]), (&json!(1000), &json!("announced")));
    let page = balancer.get("/lb-metrics?format=prometheus");
    assert!(page.text().contains(r#"source="announced"} 1"#), "{}", page.text());
    assert!(exchange.is_ended_within(patience()), "it is still open");
    assert!(begun.elapsed() < patience() * 6, "closed by us, not after an hour");
}

#[test]
fn what_a_backend_does_with_idle_connections_is_learned() {
    const CLOSED_AFTER: Duration = Duration::from_millis(700);
    let (backend, balancer) = by_hand("1h");
    let source = || balancer.metrics()["backends"][0]["idle_source"].clone();
    let closes_one = || {
        answered(&backend, &balancer, "GET").keep_alive();
        let second = answered(&backend, &balancer, "GET");
        let_pass(CLOSED_AFTER);
        drop(second);
        // It is found out by whoever looks, or by the next request.
        answered(&backend, &balancer, "GET").keep_alive();
        answered(&backend, &balancer, "GET");
    };
    for _ in 0..2 {
        closes_one();
        assert_eq!(source(), "configured", "twice may be chance");
    }
    // Three have to be alike, and on a machine that is busy one or the other is late.
    eventually("it is learned", || {
        closes_one();
        source() == "observed"
    });
    let idle = balancer.metrics()["backends"][0]["idle_ms"].as_u64().unwrap();
    assert!((500..1200).contains(&idle), "{idle} ms");
}
