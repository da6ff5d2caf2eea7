//! What is tried again, where, and what never is.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Answer, Backend, Balancer, Behaviour, ByHand, Client, Framing, config, eventually, fields, with_room,
};

/// A balancer that has probed its backends once and will not do so again during the test: what
/// happens to them from now on, it finds out by asking.
fn probed_once(backends: &[&Backend], more: serde_json::Value) -> Balancer {
    let mut config = config(backends, json!({ "health_check": { "interval": "1h" } }));
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    Balancer::start(config).once_probed()
}

/// Of two backends the first has gone since its probe.
fn one_gone() -> (Backend, Backend, Balancer) {
    let (mut gone, good) = (Backend::named("gone"), Backend::named("good"));
    let balancer = probed_once(&[&gone, &good], json!({}));
    gone.stop();
    (gone, good, balancer)
}

#[test]
fn no_client_sees_that_a_backend_refuses() {
    let (_gone, _good, balancer) = one_gone();
    for _ in 0..6 {
        assert_eq!(balancer.get("/").text(), "good");
    }
    let metrics = balancer.metrics_after(6);
    let refusals = metrics["backends"][0]["total_failures"].as_u64().unwrap();
    assert!(refusals >= 1, "nobody asked the one that refuses: {metrics}");
    assert_eq!(metrics["retry_attempts"], refusals);
    assert_eq!(metrics["success_requests"], 6);
    assert_eq!(metrics["failed_requests"], 0);
}

#[test]
fn a_post_that_was_never_sent_is_retried() {
    let (_gone, good, balancer) = one_gone();
    for _ in 0..2 {
        assert_eq!(balancer.ask("POST", "/", &[], b"an order").text(), "good");
    }
    assert!(good.asked().iter().all(|asked| asked.body == b"an order"));
}

#[test]
fn a_get_is_retried_after_it_was_sent() {
    for fault in [Behaviour::ClosesBeforeHead, Behaviour::ResetsBeforeHead, Behaviour::NotHttp] {
        let (bad, good) = (Backend::that(fault), Backend::named("good"));
        let balancer = Balancer::over(&[&bad, &good]);
        for _ in 0..2 {
            assert_eq!(balancer.get("/").text(), "good");
        }
        assert!(!bad.asked().is_empty());
        assert_eq!(balancer.metrics_after(2)["retry_attempts"], bad.asked().len());
    }
}

#[test]
fn a_backend_that_hangs_costs_a_timeout_and_no_answer() {
    let (bad, good) = (Backend::that(Behaviour::Hangs), Backend::named("good"));
    let more = json!({ "timeouts": { "request": "300ms" } });
    let balancer = Balancer::start(config(&[&bad, &good], more));
    for _ in 0..2 {
        assert_eq!(balancer.get("/").text(), "good");
    }
}

#[test]
fn a_post_that_was_sent_is_not_retried() {
    let (bad, good) = (Backend::that(Behaviour::ClosesBeforeHead), Backend::named("good"));
    let balancer = Balancer::over(&[&bad, &good]);
    let mut statuses = [0, 1].map(|_| balancer.ask("POST", "/", &[], b"an order").status);
    statuses.sort();
    assert_eq!(statuses, [200, 502]);
    assert_eq!((bad.asked().len(), good.asked().len()), (1, 1));
}

#[test]
fn a_post_that_was_sent_is_retried_where_that_is_asked_for() {
    let (bad, good) = (Backend::that(Behaviour::ClosesBeforeHead), Backend::named("good"));
    let more = json!({ "retry": { "non_idempotent": true } });
    let balancer = Balancer::start(config(&[&bad, &good], more));
    for _ in 0..2 {
        assert_eq!(balancer.ask("POST", "/", &[], b"an order").text(), "good");
    }
}

#[test]
fn the_body_of_a_retried_put_arrives_whole() {
    let body: Vec<u8> = (0..60_000_u32).map(|number| (number % 251) as u8).collect();
    let (bad, good) = (Backend::that(Behaviour::ClosesBeforeHead), Backend::named("good"));
    let balancer = Balancer::over(&[&bad, &good]);
    for _ in 0..2 {
        assert_eq!(balancer.ask("PUT", "/", &[], &body).text(), "good");
    }
    assert!(!bad.asked().is_empty(), "nothing was retried");
    assert_eq!(good.asked().len(), 2);
    assert!(good.asked().iter().all(|asked| asked.body == body));
}

#[test]
fn a_body_larger_than_the_buffer_is_sent_once() {
    let body = vec![b'x'; 200_000];
    let bad = [(); 2].map(|()| Backend::that(Behaviour::ClosesBeforeHead));
    let balancer = Balancer::over(&bad.each_ref());
    assert_eq!(balancer.ask("PUT", "/", &[], &body).status, 502);
    assert_eq!(bad[0].asked().len() + bad[1].asked().len(), 1);
}

#[test]
fn each_retry_goes_to_a_backend_not_tried_yet() {
    let bad = [(); 2].map(|()| Backend::that(Behaviour::ClosesBeforeHead));
    let good = Backend::named("good");
    let balancer = Balancer::over(&[&bad[0], &bad[1], &good]);
    for _ in 0..3 {
        assert_eq!(balancer.get("/").text(), "good");
    }
}

#[test]
fn max_retries_counts_attempts_after_the_first() {
    let bad = [(); 3].map(|()| Backend::that(Behaviour::ClosesBeforeHead));
    let more = json!({ "retry": { "max_retries": 1 } });
    let balancer = Balancer::start(config(&bad.each_ref(), more));
    assert_eq!(balancer.get("/twice").status, 502);
    assert_eq!(bad.iter().map(|backend| backend.asked().len()).sum::<usize>(), 2);
    let line = fields(&balancer.wait_for_access("/twice"));
    assert!(line.contains(&("attempts".into(), "2".into())), "{line:?}");
}

#[test]
fn retries_in_flight_stay_within_their_share_of_the_requests() {
    const REQUESTS: usize = 10;
    for (percent, expected) in [(0, 3), (50, 5), (100, REQUESTS)] {
        let (bad, spare) = (ByHand::start(), ByHand::start());
        let mut config = config(&[], json!({ "circuit_breaker": { "enabled": false } }));
        config["retry"]["budget_percent"] = json!(percent);
        let mut spare_entry = spare.entry()[0].take();
        spare_entry["backup"] = json!(true);
        config["backends"] = json!([bad.entry()[0], spare_entry]);
        let balancer = Balancer::start(config);
        let mut clients: Vec<_> = (0..REQUESTS).map(|_| balancer.connect()).collect();
        clients.iter_mut().for_each(|client| client.ask("GET", "/", &[], b""));
        let broken: Vec<_> = (0..REQUESTS).map(|_| bad.next()).collect();
        drop(broken);
        let retried: Vec<_> = (0..expected).map(|_| spare.next()).collect();
        balancer.metrics_after((REQUESTS - expected) as u64);
        assert!(spare.is_left_alone_for(Duration::from_millis(200)), "at {percent} %");
        for mut exchange in retried {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        let statuses = clients.iter_mut().map(|client| client.read_response().status);
        assert_eq!(statuses.filter(|status| *status == 200).count(), expected, "at {percent} %");
    }
}

#[test]
fn an_answer_that_breaks_off_is_broken_off_and_not_retried() {
    for framing in [Framing::Length, Framing::Chunked, Framing::UntilClose] {
        let bad = [(); 2].map(|()| Backend::that(Behaviour::BreaksOffAfter(50, framing)));
        let balancer = Balancer::over(&bad.each_ref());
        let mut client = balancer.asking("/");
        assert_is_cut(&mut client, framing);
        assert_eq!(bad[0].asked().len() + bad[1].asked().len(), 1, "{framing:?}");
    }
}

fn assert_is_cut(client: &mut Client, framing: Framing) {
    let answer = client.try_read_response_to("GET");
    assert!(answer.is_err(), "{framing:?} was ended as though it were whole: {answer:?}");
}

#[test]
fn an_answer_that_has_begun_is_passed_on_before_it_ends() {
    let answer = Answer { framing: Framing::Chunked, ..Answer::ok("first half, other half") };
    let backend = Backend::that(Behaviour::HoldsHalfWay(answer));
    let balancer = Balancer::over(&[&backend]);
    let mut client = balancer.asking("/");
    client.read_until("first half,");
    backend.release();
    client.read_until(" other half");
}

#[test]
fn an_outage_is_answered_at_once_and_ends_by_itself() {
    let mut backends = ["one", "two"].map(Backend::named);
    let balancer = Balancer::over(&backends.each_ref()).once_probed();
    backends.iter_mut().for_each(Backend::stop);
    let begun = Instant::now();
    let answer = balancer.get("/");
    assert!(begun.elapsed() < with_room(Duration::from_secs(2)), "refused at once, not after a timeout");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text().trim_end(), "Service Unavailable: all backends are down");
    backends.iter_mut().for_each(Backend::restart);
    eventually("the balancer serves again", || balancer.get("/").status == 200);
}
