//! A drain under load: whoever sends a request on a connection that is open gets its answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use serde_json::json;

use crate::support::{
    Backend, Balancer, Client, Signal, Stop, behind_front, config, eventually, patience, skip,
};

const POST: &[u8] = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789";

/// What a client has seen.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    /// Sent on an open connection, and not answered.
    lost: AtomicU64,
    /// Answers on kept connections after the signal that did not say it was the last.
    unsaid: AtomicU64,
}

/// A connection; `None` where nobody listens any more.
fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(patience())).unwrap();
    stream.set_nodelay(true).unwrap();
    Some(stream)
}

/// The whole answer, which has a length.
fn answer(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.starts_with("HTTP/1.1 200 ") && text.ends_with("counted") {
            return Some(text);
        }
        match stream.read(&mut piece) {
            Ok(amount @ 1..) => bytes.extend_from_slice(&piece[..amount]),
            _ => return None,
        }
    }
}

/// Posts until nobody listens: each on a connection of its own, or as long as a connection is kept.
fn keep_posting(address: SocketAddr, is_kept: bool, signalled: &Stop, seen: &Seen) {
    while let Some(mut stream) = connect(address) {
        loop {
            let after_the_signal = signalled.is_set();
            if stream.write_all(POST).is_err() {
                seen.lost.fetch_add(1, Relaxed);
                break;
            }
            let Some(text) = answer(&mut stream) else {
                seen.lost.fetch_add(1, Relaxed);
                break;
            };
            seen.answered.fetch_add(1, Relaxed);
            let is_last = text.contains("Connection: close\r\n");
            if after_the_signal && !is_last {
                seen.unsaid.fetch_add(1, Relaxed);
            }
            if is_last || !is_kept {
                break;
            }
        }
    }
}

fn drained_under_load(is_kept: bool, pre_drain: &str, clients: usize) {
    let backend = Backend::named("counted");
    let more = json!({ "workers": 8, "access_log": false, "timeouts": { "pre_drain": pre_drain } });
    let mut balancer = Balancer::start(config(&[&backend], more));
    let (seen, signalled) = (Seen::default(), Stop::default());
    let address = balancer.address();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| keep_posting(address, is_kept, &signalled, &seen));
        }
        eventually("all are busy", || seen.answered.load(Relaxed) > 20 * clients as u64);
        balancer.signal(Signal::TERM);
        eventually("it is unwell, or gone", || {
            let Some(mut stream) = connect(address) else { return true };
            let mut text = String::new();
            let _ = stream.write_all(b"GET /lb-health HTTP/1.0\r\n\r\n");
            let _ = stream.read_to_string(&mut text);
            !text.starts_with("HTTP/1.1 200 ")
        });
        // It has been told by now, and so are the clients.
        let _end = signalled.at_the_end();
    });
    assert_eq!(balancer.wait_exit().code(), Some(0));
    let (answered, lost) = (seen.answered.load(Relaxed), seen.lost.load(Relaxed));
    assert_eq!(lost, 0, "of {answered}");
    assert_eq!(backend.asked().len() as u64, answered);
    assert!(balancer.account().ends_with("cut=0"), "{}", balancer.account());
    let figures: Vec<u64> =
        balancer.account().split(['=', ' ']).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(figures[0], figures[1], "{}", balancer.account());
    assert!(figures[0] >= answered, "{} and {answered} of them posts", balancer.account());
    assert_eq!(seen.unsaid.load(Relaxed), 0, "each says that it is the last");
}

#[test]
fn posts_on_kept_connections_are_all_answered() {
    drained_under_load(true, "0s", 24);
}

#[test]
fn posts_on_kept_connections_are_all_answered_behind_a_pre_drain() {
    drained_under_load(true, "1s", 24);
}

#[test]
fn posts_on_new_connections_are_answered_or_refused_whole() {
    if !behind_front() {
        return skip("tiny_http accepts in a thread that can't be told to take the last ones");
    }
    for _ in 0..3 {
        drained_under_load(false, "0s", 8);
    }
}

#[test]
fn an_upload_that_has_begun_is_finished() {
    if !behind_front() {
        return skip("tiny_http does not show what it has not read to the end of its head");
    }
    let backend = Backend::named("counted");
    let mut balancer = Balancer::start(config(&[&backend], json!({})));
    let mut clients: Vec<Client> = (0..4).map(|_| balancer.connect()).collect();
    // One byte of its head, half of its head, half of a small and of a large body.
    let large =
        [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n".to_vec(), vec![b'x'; 2000]].concat();
    let all = [(POST, 1), (POST, 20), (POST, POST.len() - 5), (&large[..], 1000)];
    for (client, (bytes, cut)) in clients.iter_mut().zip(all) {
        client.send(&bytes[..cut]);
    }
    balancer.get("/lb-health");
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("msg=\"draining\"");
    for (client, (bytes, cut)) in clients.iter_mut().zip(all) {
        client.send(&bytes[cut..]);
        let answer = client.read_response();
        assert_eq!((answer.text(), answer.header("connection")), ("counted", Some("close")));
    }
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=5 answered=5 cut=0");
}
