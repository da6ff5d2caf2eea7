//! What is not the answer itself reaches whoever can take it: interim answers before it, trailers behind
//! bodies; and the words of a head stay as they were.

use serde_json::json;

use crate::support::{balancer_by_hand, behind_front, skip};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 7\r\n\r\n";
const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";

#[test]
fn early_hints_reach_clients_that_know_them() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.asking("/");
    let mut exchange = backend.next();
    exchange.send(HINTS);
    // At once, not with the answer.
    let hints = client.read_response();
    assert_eq!((hints.status, hints.reason.as_str()), (103, "Early Hints"));
    assert_eq!(hints.headers, [("Link".to_owned(), "</a.css>; rel=preload".to_owned())]);
    exchange.send(["HTTP/1.1 102 Processing\r\n\r\n", PLAIN].concat());
    assert_eq!(client.read_response().status, 102);
    assert_eq!(client.read_response().text(), "plain");
    exchange.keep_alive();
    // The connection has not lost its place.
    client.ask("GET", "/", &[], b"");
    backend.next().send(PLAIN);
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn early_hints_do_not_reach_clients_of_http_1_0() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    backend.next().send([HINTS, PLAIN].concat());
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn a_100_with_fields_that_nobody_asked_for_is_passed_over() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for method in ["GET", "POST"] {
        let mut client = balancer.connect();
        client.ask(method, "/", &[], if method == "POST" { b"hello" } else { b"" });
        let mut exchange = backend.next();
        exchange.send(["HTTP/1.1 100 Continue\r\nX-Own: 1\r\n\r\n", PLAIN].concat());
        assert_eq!(client.read_response().text(), "plain");
    }
    assert_eq!(balancer.metrics()["retry_attempts"], 0);
}

#[test]
fn interim_answers_without_end_are_a_502() {
    let (backend, balancer) = balancer_by_hand(json!({ "retry": { "max_retries": 0 } }));
    let mut client = balancer.asking("/");
    backend.next().send("HTTP/1.1 102 Processing\r\n\r\n".repeat(1000));
    let last = loop {
        let answer = client.read_response();
        if answer.status != 102 {
            break answer;
        }
    };
    assert_eq!(last.status, 502);
}

#[test]
fn trailers_of_a_request_reach_the_backend_but_for_those_that_must_not() {
    if !behind_front() {
        return skip("tiny_http drops them");
    }
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\n");
    client.send("X-Sum: 7\r\nContent-Length: 3\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: me\r\nx-More: 1\r\n\r\n");
    let mut exchange = backend.next();
    assert_eq!(exchange.head.header("trailer"), Some("X-Sum"), "what passes is announced");
    let body = "5\r\nhello\r\n0\r\nX-Sum: 7\r\nx-More: 1\r\n\r\n";
    assert_eq!(String::from_utf8(exchange.read(body.len())).unwrap(), body);
    exchange.send(PLAIN);
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn trailers_of_an_answer_reach_the_client_but_for_those_that_must_not() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n5\r\nhello\r\n0\r\nServer-Timing: a;dur=1\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = balancer.asking("/");
    let mut exchange = backend.next();
    exchange.send(answer);
    let seen = client.read_response();
    assert_eq!(seen.text(), "hello");
    assert_eq!(seen.header("trailer"), Some("Server-Timing"));
    let raw = String::from_utf8_lossy(&seen.raw).into_owned();
    assert!(raw.ends_with("\r\n0\r\nServer-Timing: a;dur=1\r\n\r\n"), "{raw:?}");
    exchange.keep_alive();
    // HTTP/1.0 has no place for them.
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    backend.next().send(answer);
    let seen = client.read_to_close();
    assert!(seen.ends_with(b"\r\n\r\nhello"), "{}", String::from_utf8_lossy(&seen));
}

#[test]
fn a_backend_is_asked_in_origin_form() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    client.send("GET http://shop.test/a?b=c HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut exchange = backend.next();
    assert_eq!(exchange.head.start, "GET /a?b=c HTTP/1.1");
    assert_eq!(exchange.head.header("host"), Some("shop.test"));
    exchange.send(PLAIN);
    assert_eq!(client.read_response().text(), "plain");
}

#[test]
fn a_head_keeps_its_words() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    let mut asked =
        b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: x\r\nX-lOUD: \xe9\r\nx-Then: 2\r\nX-lOUD: 3\r\n\r\n".to_vec();
    if !behind_front() {
        // tiny_http takes ASCII only.
        asked.iter_mut().filter(|byte| **byte > 127).for_each(|byte| *byte = b'e');
    }
    client.send(&asked);
    let mut exchange = backend.next();
    let ours = |name: &str| ["X-lOUD", "x-Then"].contains(&name);
    let names: Vec<_> = exchange.head.headers.iter().filter(|(name, _)| ours(name)).cloned().collect();
    let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["X-lOUD", "x-Then", "X-lOUD"]);
    if behind_front() {
        assert_eq!(exchange.target(), "/café");
    }
    exchange.send(
        b"HTTP/1.1 299 Quite Right\r\nX-Two: \xe9\r\nx-one: 1\r\nX-Two: 2\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = client.read_response();
    assert_eq!((answer.status, answer.reason.as_str()), (299, "Quite Right"));
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["X-Two", "x-one", "X-Two"]);
    assert!(answer.raw.windows(10).any(|bytes| bytes == b"X-Two: \xe9\r\n"), "the byte is the same");
}
