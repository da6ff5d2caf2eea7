//! How much of the load a backend gets: weights under every algorithm but the rotating one (that is in
//! `weights`), ties, and what the hashes hold on to.

use std::collections::HashMap;
use std::time::Duration;

use loadbalancer::demo::echo::EchoOptions;
use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Client, config, eventually};

/// A balancer over these, the first of which has this weight.
fn weighted(backends: &[Backend], weight: u32, more: Value) -> Balancer {
    let mut config = config(&backends.iter().collect::<Vec<_>>(), more);
    config["backends"][0]["weight"] = json!(weight);
    Balancer::start(config)
}

/// So many requests at two backends that hold them, one after the other; how many each has.
fn held(algorithm: &str, weight: u32, count: usize) -> [usize; 2] {
    let backends = [(); 2].map(|()| Backend::that(Behaviour::Holds(Answer::ok("held"))));
    let balancer = weighted(&backends, weight, json!({ "algorithm": algorithm }));
    let heads = || backends.each_ref().map(Backend::heads);
    let mut clients: Vec<Client> = Vec::new();
    for number in 1..=count {
        let client = balancer.asking("/");
        clients.push(client);
        eventually("it is at a backend", || heads().iter().sum::<usize>() == number);
    }
    let held = heads();
    backends.iter().for_each(Backend::release);
    clients.iter_mut().for_each(|client| assert_eq!(client.read_response().text(), "held"));
    held
}

#[test]
fn least_conn_holds_requests_by_weight() {
    assert_eq!(held("least_conn", 3, 16), [12, 4]);
    assert_eq!(held("least_conn", 1, 16), [8, 8]);
}

/// Chance decides a little of it, not how it leans.
#[test]
fn power_of_two_holds_requests_by_weight() {
    let [heavy, light] = held("power_of_two", 3, 24);
    assert!((15..=21).contains(&heavy), "{heavy} and {light} by 3 to 1");
    let [one, other] = held("power_of_two", 1, 24);
    assert!((9..=15).contains(&one), "{one} and {other} by 1 to 1");
}

#[test]
fn least_conn_rotates_evenly_over_an_idle_pool() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let balancer = Balancer::start(config(&backends.each_ref(), json!({ "algorithm": "least_conn" })));
    let mut counts: HashMap<String, usize> = HashMap::new();
    for _ in 0..9 {
        *counts.entry(balancer.get("/").text().to_owned()).or_default() += 1;
        // A request is over a moment after its answer has come.
        eventually("all are idle", || {
            let page = balancer.metrics();
            page["backends"].as_array().unwrap().iter().all(|backend| backend["active_connections"] == 0)
        });
    }
    assert_eq!(counts, ["a", "b", "c"].map(|name| (name.to_owned(), 3)).into());
}

fn clients(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("10.1.{}.{}", number / 250, number % 250 + 1)).collect()
}

/// The backend of each of these clients.
fn homes(balancer: &Balancer, clients: &[String]) -> Vec<String> {
    let mut connection = balancer.connect();
    let home = |client: &String| {
        connection.ask("GET", "/", &[("X-Forwarded-For", client)], b"");
        connection.read_response().text().to_owned()
    };
    clients.iter().map(home).collect()
}

/// A client's home by `consistent_hash` depends on the backends' ports, which differ from run to run: the
/// bounds are five deviations off.
#[test]
fn the_hashes_share_the_clients_by_weight() {
    let backends = ["heavy", "light"].map(Backend::named);
    let clients = clients(400);
    for algorithm in ["ip_hash", "consistent_hash"] {
        for (weight, expected) in [(3, 300), (1, 200)] {
            let balancer = weighted(&backends, weight, json!({ "algorithm": algorithm }));
            let heavy = homes(&balancer, &clients).iter().filter(|home| *home == "heavy").count();
            let bounds = expected - 48..=expected + 48;
            assert!(bounds.contains(&heavy), "{algorithm}: {heavy} of 400 by {weight} to 1");
        }
    }
}

#[test]
fn consistent_hash_does_not_depend_on_the_order_of_the_backends() {
    let backends = ["a", "b", "c", "d", "e"].map(Backend::named);
    let entries: Vec<Value> =
        backends.iter().zip(1..).map(|(it, weight)| json!({ "url": it.url(), "weight": weight })).collect();
    let over = |entries: Vec<&Value>| {
        let mut config = config(&[], json!({ "algorithm": "consistent_hash" }));
        config["backends"] = json!(entries);
        Balancer::start(config)
    };
    let clients = clients(150);
    let expected = homes(&over(entries.iter().collect()), &clients);
    assert!(["c", "d", "e"].iter().all(|name| expected.iter().any(|home| home == name)), "{expected:?}");
    assert_eq!(homes(&over(entries.iter().rev().collect()), &clients), expected);
    let (front, back) = entries.split_at(2);
    assert_eq!(homes(&over(back.iter().chain(front).collect()), &clients), expected);
}

#[test]
fn a_request_without_the_hash_key_goes_by_its_client() {
    let backends = ["0", "1", "2"].map(Backend::named);
    for key in ["header:X-User", "cookie:user"] {
        let more = json!({ "algorithm": "ip_hash", "hash_key": key });
        let balancer = Balancer::start(config(&backends.each_ref(), more));
        // int(md5(client).hexdigest(), 16) % 3, worked out with Python.
        for (client, home) in [("192.0.2.1", "2"), ("192.0.2.2", "1"), ("10.1.2.3", "0")] {
            for other in
                [("X-Other", "alice"), ("Cookie", "other=alice"), ("X-User", ""), ("Cookie", "user=")]
            {
                let fields = [("X-Forwarded-For", client), other];
                assert_eq!(balancer.ask("GET", "/", &fields, b"").text(), home, "{key}: {client} {other:?}");
            }
        }
    }
}

#[test]
fn consistent_hash_without_its_key_is_the_one_by_client() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let over = |key: &str| {
        let more = json!({ "algorithm": "consistent_hash", "hash_key": key });
        Balancer::start(config(&backends.each_ref(), more))
    };
    let clients = clients(40);
    let expected = homes(&over("client"), &clients);
    for key in ["header:X-User", "cookie:user"] {
        assert_eq!(homes(&over(key), &clients), expected, "{key}");
    }
}

/// Latencies of real backends are noise where these are equal, and noise decides nothing.
#[test]
fn power_of_two_shares_by_weight_and_leaves_a_slow_backend_alone() {
    const REQUESTS: usize = 200;
    let backends = ["heavy", "light"].map(Backend::named);
    let balancer = weighted(&backends, 3, json!({ "algorithm": "power_of_two" }));
    let mut client = balancer.connect();
    (0..REQUESTS).for_each(|_| drop(client.get("/")));
    let heavy = backends[0].asked().len();
    assert!((130..=170).contains(&heavy), "{heavy} of {REQUESTS} by 3 to 1");

    let echo = |latency_ms| {
        let latency = Duration::from_millis(latency_ms);
        Backend::that(Behaviour::Echo(EchoOptions { latency, ..EchoOptions::default() }))
    };
    let backends = [echo(100), echo(0), echo(0)];
    let balancer = weighted(&backends, 1, json!({ "algorithm": "power_of_two" }));
    (0..REQUESTS).for_each(|_| drop(balancer.get("/")));
    let slow = &balancer.metrics_after(REQUESTS as u64)["backends"][0]["total_requests"];
    assert!(slow.as_u64().unwrap() <= 20, "{slow} of {REQUESTS} to the slow one");
}
