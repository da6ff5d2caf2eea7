//! Bodies on their way: every framing in both directions, streams that arrive as they are sent, and
//! what becomes of either side when the other one breaks off, goes away or does not read.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answer, Backend, Balancer, Behaviour, Client, Framing, balancer_by_hand, behind_front, config,
    eventually, let_pass, patience, soon,
};

fn with(behaviour: Behaviour, more: Value) -> (Backend, Balancer) {
    let backend = Backend::that(behaviour);
    let balancer = Balancer::start(config(&[&backend], more));
    (backend, balancer)
}

fn no_retries() -> Value {
    json!({ "retry": { "max_retries": 0 } })
}

/// Every framing of an answer of the same five bytes; the last one ends with the connection.
const FRAMINGS: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3;c=\"d\"\r\nllo\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
];

#[test]
fn every_framing_reaches_every_client() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for answer in FRAMINGS {
        for (version, field, stays) in
            [("1.1", "", true), ("1.0", "", false), ("1.0", "Connection: keep-alive\r\n", false)]
        {
            let mut client = balancer.connect();
            client.send(format!("GET / HTTP/{version}\r\nHost: x\r\n{field}\r\n"));
            let mut exchange = backend.next();
            exchange.send(answer);
            drop(exchange);
            let seen = client.read_response();
            let what =
                format!("{answer:?} for {version} {field:?}: {:?}", String::from_utf8_lossy(&seen.raw));
            assert_eq!((seen.status, seen.text()), (200, "hello"), "{what}");
            assert_eq!(seen.is_chunked(), version == "1.1" && !answer.contains("Length"), "{what}");
            // HTTP/1.0 can stay open only where the length is known.
            let stays = stays || !field.is_empty() && answer.contains("Length");
            assert_eq!(seen.header("connection") == Some("close"), !stays, "{what}");
            assert!(!client.is_closed_within(Duration::from_millis(20)) || !stays, "{what}");
            assert!(stays || client.is_closed_within(patience()), "{what}");
        }
    }
}

#[test]
fn answers_without_a_body_have_none_and_leave_both_connections_usable() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    for (method, answer, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Some(5)),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n", Some(5)),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some(0)),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
    ] {
        client.ask(method, "/", &[], b"");
        let mut exchange = backend.next();
        exchange.send(answer);
        exchange.keep_alive();
        let seen = client.read_response_to(method);
        assert_eq!(seen.content_length(), length, "{method} {answer:?}");
        assert!(seen.body.is_empty(), "{method} {answer:?}");
    }
    client.ask("GET", "/after", &[], b"");
    backend.next().send(FRAMINGS[0]);
    assert_eq!(client.read_response().text(), "hello");
}

#[test]
fn request_bodies_reach_the_backend_in_their_framing() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    for (head, body) in [
        ("Content-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n"));
        if head.contains("Expect") {
            client.read_until("HTTP/1.1 100 Continue");
            client.read_until("\r\n\r\n");
        }
        client.send(body);
        let mut exchange = backend.next();
        assert_eq!(exchange.head.is_chunked(), head.contains("chunked"), "{head}");
        assert_eq!(exchange.head.header("expect"), None);
        assert_eq!(exchange.try_read_body().unwrap(), b"hello", "{head}");
        exchange.send(FRAMINGS[0]);
        exchange.keep_alive();
        assert_eq!(client.read_response().text(), "hello", "{head}");
    }
}

#[test]
fn a_body_that_trickles_is_passed_on_as_it_comes() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\none\r\n");
    let mut exchange = backend.next();
    assert_eq!(exchange.read(8), b"3\r\none\r\n");
    client.send("3\r\ntwo\r\n");
    assert_eq!(exchange.read(8), b"3\r\ntwo\r\n");
    client.send("0\r\n\r\n");
    assert_eq!(exchange.read(5), b"0\r\n\r\n");
}

#[test]
fn what_a_backend_says_before_its_answer_is_not_the_answer() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for early in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"] {
        let mut client = balancer.connect();
        client.ask("POST", "/", &[], b"hello");
        let mut exchange = backend.next();
        exchange.send(early);
        exchange.send(FRAMINGS[0]);
        let mut seen = client.read_response();
        if seen.status == 103 {
            seen = client.read_response();
        }
        assert_eq!((seen.status, seen.text()), (200, "hello"), "{early:?}");
    }
}

#[test]
fn a_long_pipeline_is_answered_to_its_end() {
    const REQUESTS: usize = 150;
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS));
    (0..REQUESTS).for_each(|_| assert_eq!(client.read_response().text(), "one"));
}

#[test]
fn pipelined_requests_are_answered_in_order_by_one_worker_at_a_time() {
    if !behind_front() {
        return; // tiny_http delivers pipelined requests at once
    }
    let (backend, balancer) = balancer_by_hand(json!({ "workers": 2 }));
    let mut pipeliner = balancer.connect();
    let requests = ["/1", "/2", "/3", "/4"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    pipeliner.send(requests.concat());
    let mut first = backend.next();
    assert_eq!(first.target(), "/1");

    let mut other = balancer.asking("/other");
    let mut exchange = backend.next();
    assert_eq!(exchange.target(), "/other");
    exchange.send(FRAMINGS[0]);
    assert_eq!(other.read_response().text(), "hello");

    first.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1");
    first.keep_alive();
    for path in ["/2", "/3", "/4"] {
        let mut exchange = backend.next();
        assert_eq!(exchange.target(), path);
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{path}"));
        exchange.keep_alive();
    }
    for path in ["/1", "/2", "/3", "/4"] {
        assert_eq!(pipeliner.read_response().text(), path);
    }
}

#[test]
fn events_arrive_one_by_one() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for head in [
        "Content-Type: text/event-stream\r\n",
        "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut client = balancer.asking("/events");
        let mut exchange = backend.next();
        exchange.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n"));
        client.read_until("\r\n\r\n");
        for number in 0..5 {
            let event = format!("data: {number}\n\n");
            if head.contains("chunked") {
                exchange.send(format!("{:x}\r\n{event}\r\n", event.len()));
            } else {
                exchange.send(&event);
            }
            client.read_until(&event);
        }
    }
}

#[test]
fn event_streams_take_no_worker() {
    let (backend, balancer) = balancer_by_hand(json!({ "workers": 1 }));
    let streams: Vec<_> = (0..5)
        .map(|_| {
            let mut client = balancer.asking("/events");
            let mut exchange = backend.next();
            exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n");
            client.read_until("data: 0\n\n");
            (client, exchange)
        })
        .collect();
    assert_eq!(balancer.metrics_when("streams", 5)["active_requests"], 5);
    drop(streams);
    balancer.metrics_when("streams", 0);
    balancer.wait_until_idle();
}

/// More than all buffers between a backend and a client who does not read.
const LARGE_BYTES: usize = 24 << 20;

fn that_do_not_read(balancer: &Balancer, backend: &Backend, count: usize) -> Vec<Client> {
    let before = backend.asked().len();
    let clients: Vec<_> = (0..count).map(|_| balancer.asking("/large")).collect();
    backend.wait_for(before + count.min(2));
    clients
}

#[test]
fn slow_readers_hold_no_workers() {
    let large = Behaviour::Answers(Answer::ok(vec![b'x'; LARGE_BYTES]));
    let (backend, balancer) = with(large, json!({ "workers": 2, "timeouts": { "queue": "30s" } }));
    let mut clients = that_do_not_read(&balancer, &backend, 4);
    balancer.metrics_when("streams", 4);
    let begun = Instant::now();
    assert_eq!(balancer.get("/lb-health").status, 200);
    assert!(begun.elapsed() < soon());
    let whole = clients.pop().unwrap().read_response();
    assert_eq!(whole.body.len(), LARGE_BYTES, "a slow reader gets all of it in the end");
    drop(clients);
    balancer.metrics_when("streams", 0);
    balancer.wait_until_idle();
}

#[test]
fn slow_uploads_hold_no_workers() {
    let backend = Backend::named("one");
    let more = json!({ "workers": 2, "timeouts": { "queue": "30s" } });
    let balancer = Balancer::start(config(&[&backend], more));
    let uploads = (0..5).map(|_| {
        let mut client = balancer.connect();
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nand then nothing");
        client
    });
    let mut uploads: Vec<_> = uploads.collect();
    assert_eq!(balancer.get("/").status, 200);
    balancer.metrics_when("streams", 5);
    let mut last = uploads.pop().unwrap();
    last.send(vec![b'x'; 5000 - "and then nothing".len()]);
    assert_eq!(last.read_response().status, 200, "it is finished outside of the pool");
    balancer.metrics_when("streams", 4);
    drop(uploads);
    balancer.metrics_when("streams", 0);
}

#[test]
fn past_max_streams_slow_readers_stay_with_their_workers() {
    let large = Behaviour::Answers(Answer::ok(vec![b'x'; LARGE_BYTES]));
    let more = json!({ "workers": 2, "limits": { "max_streams": 1 }, "timeouts": { "queue": "2500ms" } });
    let (backend, balancer) = with(large, more);
    let clients = that_do_not_read(&balancer, &backend, 3);
    backend.wait_for(3);
    let refused =
        eventually("all workers are held", || Some(balancer.get("/")).filter(|answer| answer.status != 200));
    assert_eq!((refused.status, refused.header("x-lb-reason")), (503, Some("queue_timeout")));
    drop(clients);
    balancer.metrics_when("streams", 0);
    // It is counted a moment after it was answered.
    eventually("it is counted", || balancer.metrics()["reasons"]["queue_timeout"] == 1);
}

#[test]
fn what_breaks_off_never_looks_whole() {
    for framing in [Framing::Length, Framing::Chunked, Framing::UntilClose] {
        for bytes in [0, 1, 5, 100_000] {
            let (_backend, balancer) = with(Behaviour::BreaksOffAfter(bytes, framing), no_retries());
            for version in ["1.1", "1.0"] {
                let mut client = balancer.connect();
                client.send(format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n"));
                let begun = Instant::now();
                let seen = client.try_read_response_to("GET");
                let what = format!("{framing:?} after {bytes} for {version}");
                // A reset may come in time to keep the head away from us, and then it is our own answer.
                let is_whole = seen.as_ref().is_ok_and(|answer| answer.status == 200);
                assert!(!is_whole, "{what}: {seen:?}");
                assert!(begun.elapsed() < soon(), "{what}");
            }
        }
    }
}

#[test]
fn what_stops_coming_is_broken_off_after_the_limit() {
    let (backend, balancer) = balancer_by_hand(json!({ "timeouts": { "request": "300ms" } }));
    for head in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        for version in ["1.1", "1.0"] {
            let mut client = balancer.connect();
            client.send(format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n"));
            let mut exchange = backend.next();
            exchange.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n5\r\n"));
            let begun = Instant::now();
            let seen = client.try_read_response_to("GET");
            assert!(seen.is_err(), "{head:?} for {version}: {seen:?}");
            assert!(begun.elapsed() < soon(), "{head:?} for {version}");
        }
    }
}

#[test]
fn a_client_that_goes_away_frees_its_worker_and_its_backend() {
    if !behind_front() {
        return; // tiny_http does not tell that a client has gone
    }
    let (backend, balancer) = balancer_by_hand(no_retries());
    let all = [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nhello",
    ];
    // Who only ends its side may still wait for its answer, and is given three seconds, however patient we are.
    const AT_ONCE: Duration = Duration::from_millis(2900);
    for (reset, within) in [(true, AT_ONCE), (false, patience())] {
        let gone = |begun: &'static str| {
            let mut client = balancer.asking("/");
            let mut exchange = backend.next();
            exchange.send(begun);
            if begun.contains("hello") {
                client.read_until("hello");
            }
            if reset {
                rustix::net::connect_unspec(client.stream()).unwrap();
            }
            (begun, exchange)
        };
        for (begun, mut exchange) in all.map(gone) {
            assert!(exchange.is_ended_within(within), "{begun:?}, reset: {reset}");
        }
        balancer.wait_until_idle();
    }
}

#[test]
fn an_answer_before_the_end_of_the_upload_gets_through() {
    const UPLOAD_BYTES: usize = 20 << 20;
    let (backend, balancer) = balancer_by_hand(json!({}));
    for head in [format!("Content-Length: {UPLOAD_BYTES}"), "Transfer-Encoding: chunked".to_owned()] {
        let mut client = balancer.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n"));
        let mut stream = client.stream();
        let chunked = head.contains("chunked");
        let upload = thread::spawn(move || {
            let piece = [&b"10000\r\n"[..], &vec![b'x'; 0x10000], b"\r\n"].concat();
            let piece = if chunked { &piece[..] } else { &piece[7..0x10007] };
            for _ in 0..UPLOAD_BYTES / 0x10000 {
                if stream.write_all(piece).is_err() {
                    return;
                }
            }
        });
        let mut exchange = backend.next();
        exchange.read(100_000);
        exchange.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        drop(exchange);
        let seen = client.read_response();
        assert_eq!((seen.status, seen.text()), (413, "big"), "{head}");
        assert_eq!(seen.header("connection"), Some("close"), "{head}");
        client.read_to_close();
        upload.join().unwrap();
        balancer.wait_until_idle();
    }
    let page = balancer.metrics();
    assert_eq!((&page["retry_attempts"], &page["failed_requests"]), (&json!(0), &json!(0)));
}

#[test]
fn a_cancelled_upload_costs_nothing_and_is_never_whole() {
    let (backend, mut balancer) = balancer_by_hand(json!({}));
    balancer.get("/lb-health");
    for (head, some) in [
        ("Content-Length: 5000", "hello"),
        ("Content-Length: 5000000", "hello"),
        ("Transfer-Encoding: chunked", "1000\r\nhello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
    ] {
        for half in [false, true] {
            let mut client = balancer.connect();
            client.send(format!("PUT / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{some}"));
            let mut exchange = backend.next();
            if half {
                client.end_sending();
                client.read_to_close();
            }
            drop(client);
            assert!(exchange.try_read_body().is_err(), "{head} {some:?}");
            balancer.wait_until_idle();
        }
    }
    let page = balancer.metrics();
    assert_eq!(page["retry_attempts"], 0);
    assert_eq!(page["backends"][0]["total_failures"], 0);
    assert_eq!(page["backends"][0]["active_connections"], 0);
    let before = balancer.process().processor_time();
    assert!(backend.is_left_alone_for(Duration::from_millis(500)), "no retry");
    let spent = balancer.process().processor_time() - before;
    assert!(spent < Duration::from_millis(250), "{spent:?} of half a second");
}

/// 200 MB, a piece at a time.
const BIG_PIECES: usize = 3200;
static PIECE: [u8; 1 << 16] = [b'x'; 1 << 16];
/// The figure for a gigabyte.
const MAX_GROWTH_BYTES: u64 = 16 << 20;

#[test]
fn large_bodies_pass_without_growth() {
    let (backend, mut balancer) = balancer_by_hand(json!({}));
    balancer.get("/lb-health");
    let before = balancer.process().memory("VmRSS");

    let mut client = balancer.connect();
    let length = BIG_PIECES * PIECE.len();
    client.send(format!("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    let mut stream = client.stream();
    let upload = thread::spawn(move || (0..BIG_PIECES).for_each(|_| stream.write_all(&PIECE).unwrap()));
    let mut exchange = backend.next();
    (0..BIG_PIECES).for_each(|_| _ = exchange.read(PIECE.len()));
    upload.join().unwrap();
    exchange.send(FRAMINGS[0]);
    exchange.keep_alive();
    assert_eq!(client.read_response().text(), "hello");

    client.ask("GET", "/down", &[], b"");
    let exchange = backend.next();
    let mut stream = exchange.stream();
    let download = thread::spawn(move || {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
        (0..BIG_PIECES).for_each(|_| stream.write_all(&PIECE).unwrap());
    });
    client.read_until("\r\n\r\n");
    (0..BIG_PIECES).for_each(|_| _ = client.read(PIECE.len()));
    download.join().unwrap();

    let growth = balancer.process().memory("VmHWM").saturating_sub(before);
    assert!(growth < MAX_GROWTH_BYTES, "grew by {growth} bytes");
}

#[test]
fn a_long_answer_to_a_last_request_is_not_cut() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for head in ["HTTP/1.1\r\nHost: x\r\nConnection: close", "HTTP/1.0"] {
        let mut client = balancer.connect();
        client.send(format!("GET / {head}\r\n\r\n"));
        let mut exchange = backend.next();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
        // The guard takes half a second to be sure that a client has gone.
        for _ in 0..15 {
            exchange.send("xy");
            let_pass(Duration::from_millis(100));
        }
        assert_eq!(client.read_response().body.len(), 30, "{head}");
        exchange.keep_alive();
    }
}

#[test]
fn an_event_stream_may_be_silent_for_longer_than_an_answer() {
    let more = json!({ "timeouts": { "request": "200ms", "stream": "1m" }, "retry": { "max_retries": 0 } });
    let (backend, balancer) = balancer_by_hand(more);
    let mut client = balancer.asking("/events");
    let mut exchange = backend.next();
    exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    client.read_until("data: 1\n\n");
    assert!(!client.is_closed_within(Duration::from_millis(700)), "it is cut");
    exchange.send("data: 2\n\n");
    client.read_until("data: 2\n\n");
    // What is no stream keeps its limit.
    let mut other = balancer.asking("/plain");
    let mut exchange = backend.next();
    exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    other.read_until("half");
    assert!(other.is_closed_within(patience()), "it is waited for");
}
