//! Answers that take their time: what keeps arriving is never cut, and an event stream leaves the worker
//! pool as soon as it is known to be one.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{balancer_by_hand, let_pass};

/// The limit is for each wait: it is far longer than the pauses, on a machine that is busy, too, and far
/// shorter than the whole.
#[test]
fn a_body_that_keeps_arriving_is_never_cut() {
    const PIECES: usize = 24;
    const PAUSE: Duration = Duration::from_millis(100);
    let (backend, balancer) = balancer_by_hand(json!({ "timeouts": { "request": "1s" } }));
    let piece = "0123456789";
    let length = format!("Content-Length: {}\r\n", PIECES * piece.len());
    let mut answers: Vec<_> = [length.as_str(), "Transfer-Encoding: chunked\r\n", ""]
        .into_iter()
        .map(|framing| {
            let client = balancer.asking("/");
            let mut exchange = backend.next();
            exchange.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
            (framing, client, exchange)
        })
        .collect();
    for _ in 0..PIECES {
        for (framing, _, exchange) in &mut answers {
            let is_chunked = framing.contains("chunked");
            exchange.send(if is_chunked { format!("a\r\n{piece}\r\n") } else { piece.to_owned() });
        }
        let_pass(PAUSE);
    }
    for (framing, mut client, mut exchange) in answers {
        if framing.contains("chunked") {
            exchange.send("0\r\n\r\n");
        }
        drop(exchange);
        assert_eq!(client.read_response().text(), piece.repeat(PIECES), "{framing:?}");
    }
}

/// One worker, and more streams than the rule for long answers could let begin in this time: that one
/// takes a second each.
#[test]
fn an_event_stream_leaves_its_worker_at_once_and_not_after_a_second() {
    const STREAMS: usize = 12;
    // However patient the rest is: with more it would prove nothing.
    const MOST: Duration = Duration::from_secs(9);
    let (backend, balancer) = balancer_by_hand(json!({ "workers": 1, "timeouts": { "queue": "1m" } }));
    let begun = Instant::now();
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let mut client = balancer.asking("/events");
        let mut exchange = backend.next();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n");
        client.read_until("data: 0\n\n");
        streams.push((client, exchange));
        balancer.metrics_when("streams", number as u64 + 1);
    }
    assert!(begun.elapsed() < MOST, "{STREAMS} streams took {:?} to begin", begun.elapsed());
}
