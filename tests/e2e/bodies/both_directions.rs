//! Request and answer pass at the same time: an answer may begin, and end, before its request has been sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use serde_json::json;

use crate::support::{Balancer, ByHand, Client, balancer_by_hand, behind_front, config, patience, skip};

const BIG: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig";
const PIECE: usize = 64 << 10;

fn post(client: &mut Client, framing: &str) {
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"));
}

#[test]
fn an_early_answer_reaches_a_client_that_has_stopped_to_wait_for_it() {
    if !behind_front() {
        return skip("tiny_http can't listen to the backend while it reads a body");
    }
    let (backend, balancer) = balancer_by_hand(json!({}));
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = balancer.connect();
        post(&mut client, framing);
        let chunked = framing.contains("chunked");
        client.send([if chunked { &b"3e8\r\n"[..] } else { b"" }, &[b'x'; 1000]].concat());
        let mut exchange = backend.next();
        exchange.read(1000);
        exchange.send(BIG);
        let answer = client.read_response();
        assert_eq!((answer.status, answer.text(), answer.header("connection")), (413, "big", Some("close")));
    }
    balancer.wait_until_idle();
    let page = balancer.metrics();
    assert_eq!((&page["retry_attempts"], &page["failed_requests"]), (&json!(0), &json!(0)));
}

#[test]
fn an_upload_is_answered_piece_by_piece() {
    if !behind_front() {
        return skip("tiny_http can't listen to the backend while it reads a body");
    }
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    post(&mut client, "Transfer-Encoding: chunked");
    let mut exchange = backend.next();
    exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    // Nobody could know yet whether all would be read.
    client.read_until("Connection: close\r\n\r\n");
    for number in 10..60 {
        let piece = format!("4\r\n<{number}>\r\n");
        client.send(&piece);
        assert_eq!(exchange.read(piece.len()), piece.as_bytes());
        exchange.send(&piece);
        assert_eq!(client.read(piece.len()), piece.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(exchange.read(5), b"0\r\n\r\n");
    exchange.send("0\r\n\r\n");
    assert_eq!(client.read(5), b"0\r\n\r\n");
    assert!(client.is_closed_within(patience()));
    // The backend's connection is as good as before.
    assert!(!exchange.is_ended_within(Duration::from_millis(100)));
    exchange.keep_alive();
    let mut client = balancer.asking("/next");
    backend.next().send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    assert_eq!(client.read_response().text(), "next");
}

/// Sends so many bytes as long as they are taken.
fn upload(client: &Client, bytes: usize) -> thread::JoinHandle<()> {
    let mut stream = client.stream();
    thread::spawn(move || _ = (0..bytes / PIECE).all(|_| stream.write_all(&[b'x'; PIECE]).is_ok()))
}

#[test]
fn a_backend_that_answers_and_reads_no_more_is_heard() {
    if !behind_front() {
        return skip("tiny_http can't listen to the backend while it reads a body");
    }
    let (backend, balancer) = balancer_by_hand(json!({}));
    for bytes in [20 << 20, 80 << 20] {
        let mut client = balancer.connect();
        post(&mut client, &format!("Content-Length: {bytes}"));
        let mut exchange = backend.next();
        let uploading = upload(&client, bytes);
        exchange.read(100_000);
        exchange.send(BIG);
        // It keeps the connection, and reads nothing.
        let answer = client.read_response();
        assert_eq!((answer.status, answer.text()), (413, "big"));
        drop(client);
        uploading.join().unwrap();
        drop(exchange);
    }
    balancer.wait_until_idle();
    let page = balancer.metrics();
    assert_eq!((&page["failed_requests"], &page["backends"][0]["breaker"]), (&json!(0), &json!("closed")));
}

/// Where the client sends as fast as the backend takes it nobody ever waits; the answer is heard all the same.
#[test]
fn an_early_answer_is_heard_though_the_backend_reads_on() {
    if !behind_front() {
        return skip("tiny_http can't listen to the backend while it reads a body");
    }
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    post(&mut client, "Transfer-Encoding: chunked");
    let mut exchange = backend.next();
    let mut stream = client.stream();
    // Without end: only its answer stops it.
    let uploading = thread::spawn(move || {
        let piece = [&b"10000\r\n"[..], &[b'x'; PIECE], b"\r\n"].concat();
        while stream.write_all(&piece).is_ok() {}
    });
    exchange.read(1 << 20);
    exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut reading = exchange.stream();
    let reads_on =
        thread::spawn(move || while reading.read(&mut [0; PIECE]).is_ok_and(|amount| amount > 0) {});
    assert_eq!(client.read_response().text(), "ok");
    // The rest is of no use to anybody.
    client.read_to_close();
    uploading.join().unwrap();
    reads_on.join().unwrap();
}

#[test]
fn a_backend_that_closes_during_an_upload_is_502_and_nothing_hangs() {
    let (backend, balancer) = balancer_by_hand(json!({ "retry": { "max_retries": 0 } }));
    for reset in [false, true] {
        let mut client = balancer.connect();
        post(&mut client, &format!("Content-Length: {}", 20 << 20));
        let mut exchange = backend.next();
        let uploading = upload(&client, 20 << 20);
        exchange.read(100_000);
        if reset {
            rustix::net::connect_unspec(exchange.stream()).unwrap();
        }
        drop(exchange);
        assert_eq!(client.read_response().status, 502, "reset: {reset}");
        drop(client);
        uploading.join().unwrap();
    }
    balancer.wait_until_idle();
}

/// The next request that is no probe, behind its head.
fn next_request(listener: &TcpListener) -> TcpStream {
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        let (mut seen, mut piece) = (Vec::new(), [0; 1]);
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut piece).unwrap();
            seen.extend_from_slice(&piece);
        }
        if !seen.starts_with(b"GET /health ") {
            return stream;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    }
}

/// Reads this body in chunks and answers after its first byte; then goes on reading.
fn answers_at_once(listener: &TcpListener, goes_on: &Receiver<()>) -> Vec<u8> {
    let mut stream = next_request(listener);
    let mut piece = [0; 1];
    stream.read_exact(&mut piece).unwrap();
    let mut body = piece.to_vec();
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").unwrap();
    goes_on.recv_timeout(patience()).unwrap();
    let mut piece = vec![0; PIECE];
    while !body.ends_with(b"\r\n0\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(amount @ 1..) => body.extend_from_slice(&piece[..amount]),
            _ => break,
        }
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    body
}

/// The first attempt has taken some of the body when its backend breaks off; the second is answered before it
/// has had that much. What it gets then has to go on where it stood.
#[test]
fn a_second_attempt_that_is_answered_early_gets_the_whole_body() {
    if !behind_front() {
        return skip("tiny_http can't listen to the backend while it reads a body");
    }
    // More than a socket takes that nobody reads from.
    const BODY: usize = 7_000_000;
    let first = ByHand::start();
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&second).set_recv_buffer_size(8 << 10).unwrap();
    let mut config = config(&[], json!({ "retry": { "buffer_body": "8MiB" } }));
    let (go, goes_on) = bounded(1);
    let url = format!("http://{}", second.local_addr().unwrap());
    config["backends"] = json!([first.entry()[0], { "url": url, "backup": true }]);
    let balancer = Balancer::start(config);
    let answering = thread::spawn(move || answers_at_once(&second, &goes_on));
    let balancer = balancer.once_probed();
    let mut client = balancer.connect();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body: Vec<u8> = (0..BODY).map(|at| b'a' + (at % 23) as u8).collect();
    let mut stream = client.stream();
    let sent = [format!("{BODY:x}\r\n").as_bytes(), &body, b"\r\n"].concat();
    let uploading = thread::spawn(move || stream.write_all(&sent).unwrap());
    let mut exchange = first.next();
    // All of it has been read from the client by now.
    exchange.read(BODY);
    uploading.join().unwrap();
    drop(exchange);
    client.read_until("\r\n\r\n");
    go.send(()).unwrap();
    client.send("0\r\n\r\n");
    let seen = answering.join().unwrap();
    let mut decoder = loadbalancer::http::chunked::Decoder::default();
    let mut decoded = Vec::new();
    decoder.take(&seen, &mut |data| decoded.extend_from_slice(data)).unwrap();
    assert!(decoder.is_done());
    assert!(decoded == body, "{} of {BODY} bytes, or others", decoded.len());
}

/// The backend has begun its answer and waits for a body whose client has stopped: that is nobody's failure but the
/// client's, and opens no breaker.
#[test]
fn a_client_that_stalls_after_the_answer_has_begun_is_not_its_backend_s_failure() {
    if !behind_front() {
        return skip("tiny_http can't listen to the backend while it reads a body");
    }
    let (backend, balancer) = balancer_by_hand(json!({
        "timeouts": { "client_body": "200ms", "request": "600ms" },
        "circuit_breaker": { "failures": 1 },
    }));
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = balancer.connect();
        post(&mut client, framing);
        client.send(if framing.contains("chunked") { &b"3\r\nabc\r\n"[..] } else { b"abc" });
        let mut exchange = backend.next();
        exchange.read(3);
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        client.read_until("ok\r\n");
        let _ = client.try_read_to_close();
    }
    balancer.wait_until_idle();
    let page = balancer.metrics();
    let entry = &page["backends"][0];
    assert_eq!((&entry["total_failures"], &entry["breaker"]), (&json!(0), &json!("closed")));
}

#[test]
fn a_client_that_sends_more_than_its_answer_needs_still_reads_the_answer() {
    if !behind_front() {
        return skip("tiny_http closes when it is done");
    }
    let (_backend, balancer) = balancer_by_hand(json!({ "limits": { "max_body_bytes": "1KiB" } }));
    for _ in 0..10 {
        let mut client = balancer.connect();
        post(&mut client, &format!("Content-Length: {}", 8 << 20));
        // It reads when it has sent all.
        client.send(vec![b'x'; 8 << 20]);
        assert_eq!(client.read_response().status, 413);
        assert!(!client.is_answered_within(Duration::from_millis(1)));
    }
}
