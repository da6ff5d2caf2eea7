//! Limits of connections, heads, bodies and waits, and what hostile clients can't do to the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answer, Backend, Balancer, Behaviour, Client, Stop, balancer_by_hand, behind_front, config, eventually,
    let_pass, patience, soon,
};

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";

fn limited(more: Value) -> (Backend, Balancer) {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], more));
    (backend, balancer)
}

#[track_caller]
fn assert_refused(client: &mut Client, status: u16, reason: &str) {
    let answer = client.read_response();
    assert_eq!((answer.status, answer.header("x-lb-reason")), (status, Some(reason)));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("x-request-id").map(str::len), Some(32));
    assert!(client.read_to_close().is_empty());
}

#[test]
fn heads_that_never_become_requests_are_under_their_reasons() {
    if !behind_front() {
        return; // tiny_http has no limits of time
    }
    let (_backend, balancer) =
        limited(json!({ "timeouts": { "client_header": "300ms" }, "limits": { "max_header_bytes": 2000 } }));
    let malformed = "GET / HTTP/1.1\r\nHost: x\r\nX(A): 1\r\n\r\n".to_owned();
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(3000));
    let slow = "GET / HTTP/1.1\r\nHost".to_owned();
    for (bytes, status, reason) in
        [(malformed, 400, "malformed_request"), (large, 431, "head_too_large"), (slow, 408, "header_timeout")]
    {
        let mut client = balancer.connect();
        client.send(bytes);
        let answer = client.read_response();
        assert_eq!((answer.status, answer.header("x-lb-reason")), (status, Some(reason)));
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32));
        eventually("it is counted", || balancer.metrics()["reasons"][reason] == 1);
    }
    assert_eq!(balancer.metrics()["total_requests"], 0);
}

#[test]
fn a_head_that_takes_too_long_is_408() {
    if !behind_front() {
        return; // tiny_http has no limits of time
    }
    const HEAD_TAKES: Duration = Duration::from_millis(500);
    let (backend, balancer) = limited(json!({ "timeouts": { "client_header": "500ms" } }));
    let mut stops = balancer.connect();
    stops.send("GET / HTTP/1.1\r\nHost: x\r\nX-");
    let mut later = balancer.connect();
    assert_eq!(later.get("/").status, 200);
    // Silence between two requests is no part of the second one's time.
    let_pass(HEAD_TAKES);
    later.send("GET /second HTTP/1.1\r\n");
    assert!(!later.is_answered_within(HEAD_TAKES / 2), "its own time has only begun");
    let mut trickles = balancer.connect();
    trickles.send("G");
    let first = Instant::now();
    eventually("whoever trickles is answered", || {
        trickles.send_if_open("x");
        trickles.is_answered_within(Duration::from_millis(50))
    });
    assert!(first.elapsed() < HEAD_TAKES + soon(), "{:?}", first.elapsed());
    for client in [&mut stops, &mut later, &mut trickles] {
        assert_refused(client, 408, "header_timeout");
    }
    assert_eq!(backend.heads(), 1);
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    if !behind_front() {
        return; // tiny_http has no limits of time
    }
    let (backend, balancer) = balancer_by_hand(json!({ "timeouts": { "client_idle": "400ms" } }));
    let (mut unused, mut used, mut busy) = (balancer.connect(), balancer.connect(), balancer.connect());
    busy.ask("GET", "/busy", &[], b"");
    let mut held = backend.next();
    used.ask("GET", "/", &[], b"");
    backend.next().send(PLAIN);
    assert_eq!(used.read_response().text(), "plain");
    assert!(used.is_closed_within(soon()));
    assert!(unused.is_closed_within(soon()));
    assert!(!busy.is_closed_within(Duration::from_millis(700)));
    held.send(PLAIN);
    assert_eq!(busy.read_response().text(), "plain");
}

#[test]
fn a_body_that_stops_coming_is_408_and_one_that_trickles_is_not() {
    if !behind_front() {
        return; // tiny_http has no limits of time
    }
    let (backend, balancer) = balancer_by_hand(json!({ "timeouts": { "client_body": "600ms" } }));
    for head in ["Content-Length: 5000", "Transfer-Encoding: chunked"] {
        let mut client = balancer.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n1000\r\nhello"));
        let mut exchange = backend.next();
        assert_refused(&mut client, 408, "body_timeout");
        assert!(exchange.try_read_body().is_err(), "{head}");
    }
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2010\r\n\r\n");
    let mut exchange = backend.next();
    client.send([b'x'; 2000]);
    for _ in 0..10 {
        let_pass(Duration::from_millis(150));
        client.send("x");
    }
    assert_eq!(exchange.try_read_body().unwrap().len(), 2010);
    exchange.send(PLAIN);
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    if !behind_front() {
        return; // tiny_http has no limits of time
    }
    let large = Behaviour::Answers(Answer::ok(vec![b'x'; 24 << 20]));
    let backend = Backend::that(large);
    let more = |limit| config(&[&backend], json!({ "timeouts": { "client_write": limit } }));
    let is_given_up = |balancer: &Balancer| {
        let mut client = balancer.connect();
        let asked = backend.asked().len();
        client.ask("GET", "/", &[], b"");
        backend.wait_for(asked + 1);
        balancer.wait_until_idle();
        client.try_read_response_to("GET").is_err()
    };
    assert!(is_given_up(&Balancer::start(more("500ms"))));
    let balancer = Balancer::start(more("1h"));
    balancer.write_config(&more("400ms").to_string());
    balancer.wait_for_log("msg=\"configuration reloaded\"");
    assert!(is_given_up(&balancer));
}

#[test]
fn no_more_connections_than_may_be() {
    if !behind_front() {
        return; // tiny_http has no limits of number
    }
    for (limit, value) in [("max_connections", 10), ("max_connections_per_ip", 10)] {
        let (_backend, balancer) = limited(json!({ "limits": { limit: value } }));
        let mut first = balancer.connect();
        assert_eq!(first.get("/").status, 200);
        let mut others: Vec<_> = (0..40).map(|_| balancer.connect()).collect();
        eventually("the surplus is closed", || {
            others.retain_mut(|client| !client.is_closed_within(Duration::from_millis(1)));
            others.len() < 10
        });
        assert_eq!(first.get("/").status, 200, "{limit}: the oldest stays");
        assert_eq!(others.len(), 9, "{limit}");
        balancer.wait_for_log("closed connections over their limit");
        eventually("each is counted", || {
            first.get("/lb-metrics").json()["reasons"]["too_many_connections"] == 31
        });
        let lines = balancer.log_lines_with("closed connections over their limit");
        assert_eq!(lines.len(), 1, "{limit}: a flood does not fill the log");
    }
}

#[test]
fn heads_over_their_limit_are_431_whole_or_endless() {
    if !behind_front() {
        return; // tiny_http has no limits of size
    }
    let (backend, mut balancer) = limited(json!({ "limits": { "max_header_bytes": "8KiB" } }));
    balancer.get("/lb-health");
    let before = balancer.process().memory("VmRSS");
    let mut whole = balancer.connect();
    let value = "x".repeat(9000);
    whole.ask("GET", "/", &[("X-A", &value)], b"");
    assert_eq!(whole.read_response().status, 431);

    // At once, for what follows the answer is thrown away for some seconds.
    thread::scope(|scope| {
        for endless in [&b"x"[..], b"a:b\r\n"] {
            let client = balancer.connect();
            scope.spawn(move || send_without_end(&client, endless));
        }
    });
    balancer.wait_for_log("reason=head_too_large");
    let growth = balancer.process().memory("VmHWM").saturating_sub(before);
    assert!(growth < 64 << 20, "grew by {growth} bytes");
    assert_eq!(backend.heads(), 0);
}

/// A head that goes on with this again and again, until nobody takes it any more.
fn send_without_end(client: &Client, endless: &[u8]) {
    let (mut writing, mut reading) = (client.stream(), client.stream());
    writing.set_write_timeout(Some(patience())).unwrap();
    writing.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    let piece = endless.repeat(20_000 / endless.len());
    // 2 MB a second are enough to be hostile, and leave the machine to the other tests.
    let begun = Instant::now();
    while writing.write_all(&piece).is_ok() {
        assert!(begun.elapsed() < patience(), "it takes endless heads");
        thread::park_timeout(Duration::from_millis(10));
    }
    // The answer may be lost to the reset behind it.
    let mut seen = Vec::new();
    let _ = reading.read_to_end(&mut seen);
    assert!(seen.is_empty() || seen.starts_with(b"HTTP/1.1 431 "), "{seen:?}");
}

#[test]
fn bodies_over_their_limit_are_413() {
    let (backend, balancer) = limited(json!({ "limits": { "max_body_bytes": "10KiB" } }));
    let mut declared = balancer.connect();
    declared.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10241\r\n\r\nhello");
    assert_refused(&mut declared, 413, "body_too_large");
    assert_eq!(backend.heads(), 0);
    let mut expecting = balancer.connect();
    expecting.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10241\r\nExpect: 100-continue\r\n\r\n");
    assert_refused(&mut expecting, 413, "body_too_large");
    let mut chunked = balancer.connect();
    chunked.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.send([b"2801\r\n", &[b'x'; 0x2801][..], b"\r\n"].concat());
    assert_refused(&mut chunked, 413, "body_too_large");
    assert_eq!(backend.asked().len(), 0);
    let most = vec![b'x'; 10240];
    assert_eq!(balancer.ask("POST", "/", &[], &most).status, 200);
}

#[test]
fn a_body_that_is_announced_and_never_comes_costs_nobody_anything() {
    let more = json!({ "workers": 4, "retry": { "max_retries": 0 } });
    let (_backend, mut balancer) = limited(more);
    for body in ["", "hey"] {
        for (path, way) in [("/", "close"), ("/", "half"), ("/", "reset"), ("/lb-metrics", "close")] {
            let mut client = balancer.connect();
            client.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n{body}"));
            match way {
                "half" => client.end_sending(),
                "reset" => _ = rustix::net::connect_unspec(client.stream()),
                _ => {}
            }
        }
        assert!(balancer.process().is_running(), "{body:?}");
        assert_eq!(balancer.get("/").status, 200, "{body:?}");
    }
    balancer.wait_until_idle();
    assert!(balancer.process().is_running());
}

#[test]
fn clients_that_come_at_once_are_all_served() {
    let (_backend, balancer) = limited(json!({}));
    for _ in 0..3 {
        // All are there before the first has asked for anything, and all stay.
        let mut clients: Vec<_> = (0..40).map(|_| balancer.connect()).collect();
        let begun = Instant::now();
        clients.iter_mut().for_each(|client| client.ask("GET", "/", &[], b""));
        clients.iter_mut().for_each(|client| assert_eq!(client.read_response().status, 200));
        assert!(begun.elapsed() < soon(), "{:?}", begun.elapsed());
    }
}

/// What a client sends that means no good, and then goes away.
const HOSTILE: [&str; 9] = [
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\nhey",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nhey",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nhey",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhey",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "GET / ICAP/1.0\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nX-",
    "GET / HTTP/1.1\r\nHost: x\r\nX-A: a\nb\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nX-A: \u{e9}\r\n\r\n",
];
/// A head that pipelines far too much.
const FLOOD: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HOSTILE_CONNECTIONS: usize = 20;
const HOSTILE_REQUESTS: usize = 1000;

/// A thousand of one kind, each on a connection of its own, twenty at a time.
fn attack(balancer: &Balancer, bytes: &[u8]) {
    let address = balancer.address();
    thread::scope(|scope| {
        for _ in 0..HOSTILE_CONNECTIONS {
            scope.spawn(move || {
                for _ in 0..HOSTILE_REQUESTS / HOSTILE_CONNECTIONS {
                    let Ok(mut stream) = TcpStream::connect(address) else { continue };
                    let _ = stream.write_all(bytes);
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
                    let _ = stream.read(&mut [0; 256]);
                }
            });
        }
    });
}

#[test]
fn hostile_clients_cost_no_plain_request() {
    if !behind_front() {
        return; // tiny_http has no limits of time
    }
    // Idle connections stay: on a machine that is busy with all this, a plain client may well be silent for
    // as long as another test would call idle.
    let (backend, mut balancer) = limited(json!({ "timeouts": { "client_header": "3s" } }));
    assert_eq!(balancer.get("/plain").text(), "one");
    let (threads, descriptors) = (balancer.process().threads(), balancer.process().descriptors());
    let stop = Stop::default();
    let address = balancer.address();
    let answered: usize = thread::scope(|scope| {
        let end = stop.at_the_end();
        let good: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    let mut answered = 0;
                    while !stop.is_set() {
                        assert_eq!(client.get("/plain").text(), "one");
                        answered += 1;
                        if answered % 10 == 0 {
                            client = Client::connect(address);
                        }
                        thread::park_timeout(Duration::from_millis(2));
                    }
                    answered
                })
            })
            .collect();
        let flood = FLOOD.repeat(100);
        HOSTILE.iter().for_each(|request| attack(&balancer, request.as_bytes()));
        attack(&balancer, flood.as_bytes());
        // What follows a refused request is thrown away, at no cost to the others.
        attack(&balancer, [HOSTILE[3], &flood].concat().as_bytes());
        drop(end);
        good.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(answered > 100, "{answered} plain requests");
    assert!(balancer.process().is_running());
    assert_eq!(balancer.get("/plain").text(), "one");
    balancer.wait_until_idle();
    eventually("threads and descriptors are back", || {
        let process = balancer.process();
        let now = (process.threads(), process.descriptors());
        now.0 <= threads + 10 && now.1 <= descriptors + 20
    });
    let smuggled = backend.asked().iter().filter(|asked| asked.start.starts_with("POST")).count();
    assert_eq!(smuggled, 0);
}
