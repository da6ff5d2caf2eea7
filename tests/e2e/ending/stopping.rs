//! From the signal to the exit status.

use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::support::{
    Answer, Backend, Balancer, Behaviour, Client, Signal, config, eventually, fields, patience,
};

/// A balancer with one request at a backend that holds it.
fn with_one_in_flight(drain: &str) -> (Backend, Balancer, Client) {
    let backend = Backend::that(Behaviour::Holds(Answer::ok("at last")));
    let more = json!({ "timeouts": { "drain": drain } });
    let balancer = Balancer::start(config(&[&backend], more));
    let client = balancer.asking("/slow");
    backend.wait_for(1);
    (backend, balancer, client)
}

#[test]
fn a_request_in_flight_is_finished_and_nothing_new_is_taken() {
    for signal in [Signal::INT, Signal::TERM, Signal::QUIT] {
        let (backend, mut balancer, mut client) = with_one_in_flight("30s");
        balancer.signal(signal);
        balancer.wait_for_log("msg=\"draining\"");
        eventually("new connections are refused", || TcpStream::connect(balancer.address()).is_err());
        backend.release();
        assert_eq!(client.read_response().text(), "at last");
        assert!(client.is_closed_within(patience()));
        assert_eq!(balancer.wait_exit().code(), Some(0));
        assert_eq!(balancer.account(), "accepted=1 answered=1 cut=0");
    }
}

#[test]
fn signals_that_mean_something_to_others_end_nothing() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for (signal, name) in [(Signal::WINCH, "SIGWINCH"), (Signal::TTIN, "SIGTTIN"), (Signal::TTOU, "SIGTTOU")]
    {
        balancer.signal(signal);
        balancer.wait_for_log(&format!("signal={name}"));
        assert_eq!(balancer.get("/").text(), "one");
    }
}

#[test]
fn the_last_answer_of_a_connection_says_so() {
    let (backend, balancer, mut client) = with_one_in_flight("30s");
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("msg=\"draining\"");
    eventually("new connections are refused", || TcpStream::connect(balancer.address()).is_err());
    backend.release();
    assert_eq!(client.read_response().header("connection"), Some("close"));
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let backend = Backend::named("one");
    let mut balancer = Balancer::over(&[&backend]);
    let (mut used, mut unused) = (balancer.connect(), balancer.connect());
    assert_eq!(used.get("/").text(), "one");
    balancer.signal(Signal::TERM);
    assert!(used.is_closed_within(patience()));
    assert!(unused.is_closed_within(patience()));
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=1 answered=1 cut=0");
}

#[test]
fn nothing_to_finish_means_to_stop_at_once() {
    let backend = Backend::named("one");
    let mut balancer = Balancer::over(&[&backend]);
    balancer.signal(Signal::INT);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=0 answered=0 cut=0");
}

#[test]
fn the_deadline_cuts_what_does_not_finish() {
    let (_backend, mut balancer, mut client) = with_one_in_flight("300ms");
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert!(client.try_read_response_to("GET").is_err(), "it was not answered");
    assert_eq!(balancer.account(), "accepted=1 answered=0 cut=1");
}

#[test]
fn a_drain_says_what_it_waits_for() {
    let (_backend, balancer, _client) = with_one_in_flight("30s");
    balancer.signal(Signal::TERM);
    let line = eventually("a line that names the request", || {
        balancer.log_lines_with("/slow").into_iter().find(|line| !line.contains("failed"))
    });
    assert!(fields(&line).contains(&("in_flight".into(), "1".into())), "{line}");
}

/// When a line was logged.
fn time_of(line: &str) -> SystemTime {
    let time = line.split(' ').next().and_then(|word| word.strip_prefix("time="));
    humantime::parse_rfc3339(time.unwrap()).expect("a time before the line")
}

/// The lines are counted from the drain's beginning, because one that is late says nothing of the next.
#[test]
fn a_drain_says_so_every_second() {
    let (_backend, balancer, _client) = with_one_in_flight("1h");
    balancer.signal(Signal::TERM);
    let began = time_of(&balancer.wait_for_log("msg=\"draining\""));
    let lines = eventually("three lines", || {
        let lines = balancer.log_lines_with("msg=\"still in flight\"");
        (lines.len() >= 3).then_some(lines)
    });
    for (line, number) in lines.iter().zip(1..) {
        let after = time_of(line).duration_since(began).unwrap();
        let second = Duration::from_secs(number);
        assert!(after + Duration::from_millis(200) >= second, "line {number} after {after:?}");
        assert!(after < second + patience() / 2, "line {number} after {after:?}");
        assert!(fields(line).contains(&("in_flight".into(), "1".into())), "{line}");
        assert!(line.contains("/slow"), "{line}");
    }
}

#[test]
fn what_is_in_flight_has_all_the_time_of_the_drain_and_no_more() {
    let (_backend, mut balancer, mut client) = with_one_in_flight("800ms");
    let begun = Instant::now();
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    let taken = begun.elapsed();
    assert!((Duration::from_millis(800)..patience() / 2).contains(&taken), "{taken:?}");
    assert!(client.try_read_response_to("GET").is_err(), "it was not answered");
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let (_backend, mut balancer, _client) = with_one_in_flight("30s");
    balancer.signal(Signal::INT);
    balancer.wait_for_log("msg=\"draining\"");
    balancer.signal(Signal::INT);
    assert_eq!(balancer.wait_exit().code(), Some(130));
}

#[test]
fn a_ctrl_c_after_sigterm_does_no_harm() {
    let (backend, mut balancer, mut client) = with_one_in_flight("30s");
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("msg=\"draining\"");
    balancer.signal(Signal::INT);
    // It is there when a second has gone by, and with it the line of that second.
    balancer.wait_for_log("msg=\"still in flight\"");
    backend.release();
    assert_eq!(client.read_response().text(), "at last");
    assert_eq!(balancer.wait_exit().code(), Some(0));
}

#[test]
fn an_answer_on_its_way_is_sent_to_its_end() {
    let backend = Backend::that(Behaviour::HoldsHalfWay(Answer::ok("first half, other half")));
    let mut balancer = Balancer::over(&[&backend]);
    let mut client = balancer.asking("/");
    client.read_until("first half,");
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("msg=\"draining\"");
    backend.release();
    client.read_until(" other half");
    assert!(client.is_closed_within(patience()));
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!(balancer.account(), "accepted=1 answered=1 cut=0");
}
