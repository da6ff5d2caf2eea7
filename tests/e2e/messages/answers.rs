//! The balancer's own answers: status, text, word, and what became of the request.

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Response, config, fields};

fn over(behaviour: Behaviour, more: Value) -> (Backend, Balancer) {
    let backend = Backend::that(behaviour);
    let balancer = Balancer::start(config(&[&backend], more));
    (backend, balancer)
}

/// One line of plain text with a word of its own, the same one as in the access log.
fn assert_is_ours(balancer: &Balancer, answer: &Response, path: &str, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{answer:?}");
    assert_eq!(answer.text().lines().count(), 1, "{answer:?}");
    assert_eq!(answer.all("x-request-id").len(), 1, "{answer:?}");
    let words = answer.all("x-lb-reason");
    assert_eq!(words.len(), 1, "{answer:?}");
    let line = fields(&balancer.wait_for_access(path));
    assert!(line.iter().any(|(_, value)| value == words[0]), "{words:?} in {line:?}");
}

#[test]
fn no_backend_that_can_be_connected_to_is_503() {
    let (_backend, balancer) = over(Behaviour::Refuses, json!({}));
    let answer = balancer.get("/x");
    assert_is_ours(&balancer, &answer, "/x", 503);
    assert_eq!(answer.text().trim_end(), "Service Unavailable: all backends are down");
    assert_eq!(answer.header("x-lb-reason"), Some("no_healthy_backend"));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}

#[test]
fn no_healthy_backend_is_503_and_none_is_asked() {
    let (backend, balancer) = over(Behaviour::Answers(Answer::ok("x")), json!({}));
    backend.set_healthy(false);
    balancer.wait_for_states(&["unhealthy"]);
    let answer = balancer.get("/x");
    assert_is_ours(&balancer, &answer, "/x", 503);
    assert_eq!(answer.header("x-lb-reason"), Some("no_healthy_backend"));
    assert_eq!(backend.asked().len(), 0);
}

#[test]
fn a_backend_that_does_not_speak_http_is_502() {
    let (_backend, balancer) = over(Behaviour::NotHttp, json!({}));
    assert_is_ours(&balancer, &balancer.get("/x"), "/x", 502);
}

#[test]
fn a_backend_that_breaks_off_before_its_head_is_complete_is_502() {
    for behaviour in [Behaviour::ClosesBeforeHead, Behaviour::ResetsBeforeHead] {
        let (_backend, balancer) = over(behaviour, json!({}));
        assert_is_ours(&balancer, &balancer.get("/x"), "/x", 502);
    }
}

#[test]
fn a_backend_that_does_not_answer_in_time_is_504() {
    let (backend, balancer) =
        over(Behaviour::Hangs, json!({ "timeouts": { "request": "300ms" }, "retry": { "max_retries": 0 } }));
    assert_is_ours(&balancer, &balancer.get("/x"), "/x", 504);
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn an_answer_to_head_has_no_body() {
    let (_backend, balancer) = over(Behaviour::ClosesBeforeHead, json!({}));
    let mut client = balancer.connect();
    client.ask("HEAD", "/x", &[("Connection", "close")], b"");
    let raw = String::from_utf8(client.read_to_close()).unwrap();
    assert!(raw.starts_with("HTTP/1.1 502 ") && raw.ends_with("\r\n\r\n"), "{raw:?}");
}

#[test]
fn a_failure_leaves_the_client_s_connection_usable() {
    let (bad, good) = (Backend::that(Behaviour::NotHttp), Backend::named("good"));
    let more = json!({ "retry": { "max_retries": 0 } });
    let balancer = Balancer::start(config(&[&bad, &good], more));
    let mut client = balancer.connect();
    let statuses = [0, 1, 2, 3].map(|_| client.get("/").status);
    assert_eq!(statuses, [502, 200, 502, 200]);
}

/// Requests that two parsers could understand differently.
const AMBIGUOUS: [&str; 8] = [
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\nhello",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
];

#[test]
fn what_is_ambiguous_is_400_closes_and_reaches_no_backend() {
    let (backend, balancer) = over(Behaviour::Answers(Answer::ok("x")), json!({}));
    for request in AMBIGUOUS {
        let mut client = balancer.connect();
        client.send(format!("{request}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = client.read_response();
        assert_eq!(answer.status, 400, "{request}");
        assert_eq!(answer.all("x-lb-reason").len(), 1, "{request}");
        assert!(client.read_to_close().is_empty(), "{request}");
    }
    assert_eq!(backend.asked().len(), 0);
}

#[test]
fn own_endpoints_have_the_methods_they_have() {
    let (backend, balancer) = over(Behaviour::Answers(Answer::ok("x")), json!({}));
    for path in ["/lb-metrics", "/lb-health"] {
        assert_eq!(balancer.ask("HEAD", path, &[], b"").status, 200);
        assert_eq!(balancer.ask("POST", path, &[], b"").status, 405);
        assert_eq!(balancer.get(&format!("{path}?x=1")).status, 200);
    }
    assert_eq!(backend.asked().len(), 0);
    assert_eq!(balancer.get("/lb-metricsx").text(), "x");
}
