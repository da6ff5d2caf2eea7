//! Tunnels: what an upgrade is granted with passes both ways as it comes, and ends when either side does.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{
    Balancer, ByHand, Client, Exchange, Process, Signal, balancer_by_hand, behind_front, config, eventually,
    patience, python_with, soon,
};

const ASKED: &str = "GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
const GRANTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";

/// A tunnel with both of its ends.
fn tunnel(backend: &ByHand, balancer: &Balancer) -> (Client, Exchange) {
    let mut client = balancer.connect();
    client.send(ASKED);
    let mut exchange = backend.next();
    exchange.send(GRANTED);
    client.read_until("\r\n\r\n");
    (client, exchange)
}

/// Something each way.
fn exchange_words(client: &mut Client, exchange: &mut Exchange) {
    client.send("ping");
    assert_eq!(exchange.read(4), b"ping");
    exchange.send("pong");
    assert_eq!(client.read(4), b"pong");
}

#[test]
fn a_granted_upgrade_is_a_tunnel_from_its_first_byte() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    client.send([ASKED, "early up"].concat());
    let mut exchange = backend.next();
    assert_eq!(exchange.head.header("upgrade"), Some("echo"));
    assert_eq!(exchange.head.header("connection"), Some("Upgrade"));
    exchange.send([GRANTED, "early down"].concat());
    let answer = client.read_response();
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("echo")));
    assert_eq!(answer.header("connection"), Some("Upgrade"));
    assert_eq!(client.read(10), b"early down");
    assert_eq!(exchange.read(8), b"early up");
    // What looks like a request is one no more.
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(exchange.read(27), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    exchange_words(&mut client, &mut exchange);
}

#[test]
fn both_directions_pass_at_once() {
    const BYTES: usize = 8 << 20;
    let (backend, balancer) = balancer_by_hand(json!({}));
    let (client, exchange) = tunnel(&backend, &balancer);
    let ends = [client.stream(), exchange.stream()];
    let threads: Vec<_> = ends
        .into_iter()
        .map(|end| {
            let mut reading = end.try_clone().unwrap();
            let mut writing = end;
            let write = thread::spawn(move || writing.write_all(&vec![b'x'; BYTES]).unwrap());
            let read = thread::spawn(move || reading.read_exact(&mut vec![0; BYTES]).unwrap());
            [write, read]
        })
        .collect();
    threads.into_iter().flatten().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_silent_tunnel_stays_open() {
    let short = json!({ "request": "200ms", "client_idle": "200ms", "client_body": "200ms",
                        "client_header": "200ms", "client_write": "200ms", "backend_idle": "200ms" });
    let (backend, balancer) = balancer_by_hand(json!({ "timeouts": short }));
    let (mut client, mut exchange) = tunnel(&backend, &balancer);
    assert!(!client.is_closed_within(Duration::from_millis(1200)));
    exchange_words(&mut client, &mut exchange);
}

#[test]
fn a_declined_upgrade_is_a_plain_answer_and_the_end() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    client.send([ASKED, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"].concat());
    backend.next().send(PLAIN);
    let answer = client.read_response();
    assert_eq!((answer.status, answer.text()), (200, "plain"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.read_to_close().is_empty());
    assert!(backend.is_left_alone_for(Duration::from_millis(100)));
}

#[test]
fn an_upgrade_in_a_second_connection_field_is_a_plain_request() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    let mut exchange = backend.next();
    // The front sees all fields, tiny_http the first of each name.
    let upgrade = if behind_front() { Some("echo") } else { None };
    assert_eq!(exchange.head.header("upgrade"), upgrade);
    assert_eq!(exchange.head.header("connection"), upgrade.map(|_| "Upgrade"));
    exchange.send(PLAIN);
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn a_101_that_nobody_asked_for_is_no_tunnel() {
    let (backend, balancer) = balancer_by_hand(json!({ "retry": { "max_retries": 0 } }));
    let mut client = balancer.asking("/");
    let mut exchange = backend.next();
    exchange.send([GRANTED, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"].concat());
    assert_eq!(client.read_response().status, 502);
    assert!(exchange.is_ended_within(soon()));
    client.ask("GET", "/", &[], b"");
    backend.next().send(PLAIN);
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn past_max_streams_a_tunnel_is_refused() {
    let (backend, balancer) = balancer_by_hand(json!({ "limits": { "max_streams": 1 } }));
    let (mut client, mut exchange) = tunnel(&backend, &balancer);
    let mut second = balancer.connect();
    second.send(ASKED);
    let mut refused = backend.next();
    refused.send(GRANTED);
    let answer = second.read_response();
    assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("too_many_streams")));
    assert!(refused.is_ended_within(soon()));
    exchange_words(&mut client, &mut exchange);
    drop((client, exchange));
    balancer.metrics_when("streams", 0);
    let (mut client, mut exchange) = tunnel(&backend, &balancer);
    exchange_words(&mut client, &mut exchange);
}

#[test]
fn fifty_tunnels_leave_the_workers_free() {
    let (backend, balancer) = balancer_by_hand(json!({ "workers": 4 }));
    let mut tunnels: Vec<_> = (0..50).map(|_| tunnel(&backend, &balancer)).collect();
    let mut plain = balancer.connect();
    for (client, exchange) in &mut tunnels {
        plain.ask("GET", "/plain", &[], b"");
        let mut answering = backend.next();
        answering.send(PLAIN);
        answering.keep_alive();
        assert_eq!(plain.read_response().text(), "plain");
        exchange_words(client, exchange);
    }
    assert_eq!(balancer.metrics()["streams"], 50);
    drop(tunnels);
    balancer.metrics_when("streams", 0);
    balancer.wait_until_idle();
}

#[test]
fn what_the_backend_says_after_the_client_s_end_still_arrives() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let (mut client, mut exchange) = tunnel(&backend, &balancer);
    client.send("bye");
    client.end_sending();
    assert_eq!(exchange.read(3), b"bye");
    assert!(exchange.is_ended_within(soon()));
    exchange.send("good bye");
    assert_eq!(client.read(8), b"good bye");
    drop(exchange);
    assert!(client.is_closed_within(soon()));
    balancer.wait_until_idle();
}

#[test]
fn the_backend_s_end_is_the_tunnel_s() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for half in [false, true] {
        let (mut client, mut exchange) = tunnel(&backend, &balancer);
        exchange.send("bye");
        exchange.end_sending();
        if !half {
            drop(exchange);
        }
        assert_eq!(client.read(3), b"bye");
        assert!(client.is_closed_within(soon()));
        balancer.wait_until_idle();
    }
}

#[test]
fn a_client_that_vanishes_ends_its_tunnel() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for reset in [false, true] {
        let (client, mut exchange) = tunnel(&backend, &balancer);
        if reset {
            rustix::net::connect_unspec(client.stream()).unwrap();
        }
        drop(client);
        assert!(exchange.is_ended_within(soon()), "reset: {reset}");
        balancer.wait_until_idle();
    }
}

#[test]
fn a_drain_closes_tunnels_at_its_end() {
    let (backend, mut balancer) = balancer_by_hand(json!({ "timeouts": { "drain": "700ms" } }));
    let mut tunnels: Vec<_> = (0..3).map(|_| tunnel(&backend, &balancer)).collect();
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("msg=\"draining\"");
    let (client, exchange) = &mut tunnels[0];
    exchange_words(client, exchange);
    for (client, exchange) in &mut tunnels {
        assert!(client.is_closed_within(patience()));
        assert!(exchange.is_ended_within(patience()));
    }
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=3 answered=0 cut=3");
}

#[test]
fn a_real_websocket_library_talks_through_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(python) = python_with("websockets.sync.server") else {
        return;
    };
    let script = folder.join("tests/clients/websocket.py");
    let run = |mode: &str, argument: &str| {
        let mut command = Command::new(&python);
        command.arg(&script).args([mode, argument]);
        Process::spawn(command)
    };
    let server = run("serve", "0");
    let port = eventually("the server's port", || server.stdout().pop());
    let url = json!([{ "url": format!("http://127.0.0.1:{port}") }]);
    let mut config = config(&[], json!({}));
    config["backends"] = url;
    let balancer = Balancer::start(config);
    let played = run("play", &format!("ws://{}/echo", balancer.address())).finish();
    assert_eq!(played.code, Some(0), "{}\n{}", played.stdout, played.stderr);
    assert_eq!(played.stdout, "all well");
    balancer.wait_until_idle();
}
