//! Before a drain begins, and what it owes to slow readers.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, Backend, Balancer, Behaviour, Signal, config, eventually, let_pass, patience};

#[test]
fn before_the_drain_requests_are_taken_while_lb_health_says_503() {
    let backend = Backend::named("one");
    let more = json!({ "timeouts": { "pre_drain": "1m" } });
    let mut balancer = Balancer::start(config(&[&backend], more));
    let mut kept = balancer.connect();
    kept.get("/");
    balancer.signal(Signal::INT);
    eventually("it is unwell", || balancer.get("/lb-health").status == 503);
    assert_eq!(balancer.get("/lb-health").header("x-lb-reason"), Some("draining"));
    let last = kept.get("/");
    assert_eq!((last.text(), last.header("connection")), ("one", Some("close")), "it should connect anew");
    for _ in 0..2 {
        assert_eq!(balancer.get("/").text(), "one");
    }
    balancer.signal(Signal::INT);
    assert_eq!(balancer.wait_exit().code(), Some(130));
}

#[test]
fn the_drain_begins_when_pre_drain_is_over() {
    const PRE_DRAIN: Duration = Duration::from_millis(500);
    let backend = Backend::named("one");
    let more = json!({ "timeouts": { "pre_drain": "500ms" } });
    let mut balancer = Balancer::start(config(&[&backend], more));
    let mut idle = balancer.connect();
    idle.get("/");
    let begun = Instant::now();
    balancer.signal(Signal::TERM);
    assert!(idle.is_closed_within(patience()));
    assert!(begun.elapsed() >= PRE_DRAIN);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=1 answered=1 cut=0");
}

/// More than a socket holds on its way to a client, less than all of the balancer's together.
const LARGE_BYTES: usize = 6 << 20;

#[test]
fn a_slow_reader_gets_all_of_its_answer() {
    let backend = Backend::that(Behaviour::Answers(Answer::ok(vec![b'x'; LARGE_BYTES])));
    let mut balancer = Balancer::over(&[&backend]);
    let mut client = balancer.asking("/large");
    client.read_until("\r\n\r\n");
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("msg=\"draining\"");
    for _ in 0..LARGE_BYTES / (64 << 10) {
        client.read(64 << 10);
        let_pass(Duration::from_millis(5));
    }
    assert!(client.is_closed_within(patience()));
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=1 answered=1 cut=0");
}

#[test]
fn what_a_reader_has_not_taken_by_the_deadline_is_cut_and_counted() {
    let backend = Backend::that(Behaviour::Answers(Answer::ok(vec![b'x'; LARGE_BYTES])));
    let more = json!({ "timeouts": { "drain": "500ms" } });
    let mut balancer = Balancer::start(config(&[&backend], more));
    let mut client = balancer.asking("/large");
    client.read_until("\r\n\r\n");
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=1 answered=0 cut=1");
}
