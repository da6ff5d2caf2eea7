//! The states of a breaker while they last: open, the one trial, and what the window counts.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Backend, Balancer, ByHand, Client, Exchange, balancer_by_hand, config, eventually, let_pass,
};

const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nby";

/// The first backend is held by hand, and its breaker opens at the first failure.
fn beside_a_good_one(good: &Backend, cooldown: &str) -> (ByHand, Balancer) {
    let by_hand = ByHand::start();
    let breaker = json!({ "failures": 1, "window": "10s", "cooldown": cooldown });
    let mut config = config(&[good], json!({ "circuit_breaker": breaker }));
    config["backends"].as_array_mut().unwrap().insert(0, by_hand.entry()[0].take());
    (by_hand, Balancer::start(config))
}

fn breaker(balancer: &Balancer) -> String {
    balancer.metrics()["backends"][0]["breaker"].as_str().unwrap().to_owned()
}

/// Opens the breaker of the first backend: it is asked first, as nobody else was asked before.
fn open(by_hand: &ByHand, balancer: &Balancer) {
    let mut client = balancer.asking("/");
    drop(by_hand.next());
    assert_eq!(client.read_response().text(), "good", "the client sees nothing of it");
    assert_eq!(breaker(balancer), "open");
}

/// Asks until one of the requests is the trial; all before it are answered by the other backend.
fn trial(by_hand: &ByHand, balancer: &Balancer) -> (Client, Exchange) {
    eventually("a trial", || {
        let mut client = balancer.asking("/");
        let arrived = eventually("it is with one of the two", || {
            let answered = || client.is_answered_within(Duration::from_millis(20)).then_some(None);
            by_hand.next_within(Duration::ZERO).map(Some).or_else(answered)
        });
        if arrived.is_none() {
            assert_eq!(client.read_response().text(), "good");
        }
        arrived.map(|exchange| (client, exchange))
    })
}

#[test]
fn one_trial_at_a_time_and_the_others_go_elsewhere() {
    const COOLDOWN: Duration = Duration::from_millis(400);
    let good = Backend::named("good");
    let (by_hand, balancer) = beside_a_good_one(&good, "400ms");
    let mut since = Instant::now();
    open(&by_hand, &balancer);
    // The first trial fails, the second passes.
    for passes in [false, true] {
        let (mut client, mut trial) = trial(&by_hand, &balancer);
        assert!(since.elapsed() >= COOLDOWN, "a trial after {:?}", since.elapsed());
        assert_eq!(breaker(&balancer), "half_open");
        (0..8).for_each(|_| assert_eq!(balancer.get("/").text(), "good"));
        assert!(by_hand.is_left_alone_for(COOLDOWN), "a second trial beside the first");
        assert_eq!(breaker(&balancer), "half_open", "as long as it takes");
        since = Instant::now();
        if passes {
            trial.send(CLOSING);
            assert_eq!(client.read_response().text(), "by");
        } else {
            drop(trial);
            assert_eq!(client.read_response().text(), "good");
        }
        assert_eq!(breaker(&balancer), if passes { "closed" } else { "open" });
    }
    // It takes its turns again.
    let mut clients = [balancer.connect(), balancer.connect()];
    clients.iter_mut().for_each(|client| client.ask("GET", "/", &[], b""));
    by_hand.next().send(CLOSING);
    clients.iter_mut().for_each(|client| assert_eq!(client.read_response().status, 200));
}

#[test]
fn an_open_breaker_lets_nothing_through_before_its_cooldown() {
    let good = Backend::named("good");
    let (by_hand, balancer) = beside_a_good_one(&good, "1h");
    open(&by_hand, &balancer);
    (0..20).for_each(|_| assert_eq!(balancer.get("/").text(), "good"));
    assert!(by_hand.is_left_alone_for(Duration::from_millis(100)));
    assert_eq!(breaker(&balancer), "open");
}

/// Alone, so that it gets every request. The third failure opens it.
fn alone(window: &str) -> (ByHand, Balancer) {
    let breaker = json!({ "failures": 3, "window": window, "cooldown": "1h" });
    balancer_by_hand(json!({ "circuit_breaker": breaker, "retry": { "max_retries": 0 } }))
}

/// One request, which the backend answers or breaks off.
fn ask(by_hand: &ByHand, balancer: &Balancer, passes: bool) {
    let mut client = balancer.asking("/");
    let mut exchange = by_hand.next();
    if passes {
        exchange.send(CLOSING);
    }
    drop(exchange);
    assert_eq!(client.read_response().status, if passes { 200 } else { 502 });
}

#[test]
fn failures_within_the_window_open_it_though_answers_come_between() {
    let (by_hand, balancer) = alone("1h");
    for passes in [false, true, false, true, true] {
        ask(&by_hand, &balancer, passes);
        assert_eq!(breaker(&balancer), "closed");
    }
    ask(&by_hand, &balancer, false);
    assert_eq!(breaker(&balancer), "open");
}

#[test]
fn failures_farther_apart_than_the_window_do_not() {
    let (by_hand, balancer) = alone("200ms");
    for _ in 0..5 {
        ask(&by_hand, &balancer, false);
        ask(&by_hand, &balancer, true);
        let_pass(Duration::from_millis(250));
        assert_eq!(breaker(&balancer), "closed");
    }
}

#[test]
fn failures_without_an_answer_between_them_open_it_however_far_apart() {
    let (by_hand, balancer) = alone("100ms");
    for state in ["closed", "closed", "open"] {
        ask(&by_hand, &balancer, false);
        assert_eq!(breaker(&balancer), state);
        let_pass(Duration::from_millis(150));
    }
}
