//! A new configuration without a restart: by a changed file in each way a file can change, and by SIGHUP.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Client, Run, Signal, Stop, config, eventually};

/// The configuration of a balancer on these, with a fixed listener for all reloads.
fn of(backends: &[&Backend], more: Value) -> Value {
    config(backends, more)
}

fn write(balancer: &Balancer, config: &Value) {
    balancer.write_config(&config.to_string());
}

#[test]
fn a_changed_file_takes_effect_and_the_log_says_what_changed() {
    let backends = ["a", "b"].map(Backend::named);
    let balancer = Balancer::start(of(&[&backends[0]], json!({})));
    assert_eq!(balancer.get("/").text(), "a");
    let mut changed = of(&[&backends[0], &backends[1]], json!({ "algorithm": "least_conn" }));
    changed["backends"][0]["weight"] = json!(5);
    write(&balancer, &changed);
    let line = balancer.wait_for_log("configuration reloaded");
    for phrase in ["+1 backend", "weight 1 -> 5", "algorithm round_robin -> least_conn"] {
        assert!(line.contains(phrase), "{line}");
    }
    assert_eq!(balancer.metrics()["algorithm"], "least_conn");
    eventually("the new one is asked", || balancer.get("/").text() == "b");
}

#[test]
fn a_backend_that_stays_keeps_its_counters_and_its_verdict() {
    let mut backends = ["a", "b"].map(Backend::named);
    let balancer = Balancer::start(of(&backends.each_ref(), json!({})));
    (0..6).for_each(|_| _ = balancer.get("/"));
    backends[1].stop();
    balancer.wait_for_states(&["healthy", "unhealthy"]);
    let before = balancer.metrics();
    write(&balancer, &of(&backends.each_ref(), json!({ "timeouts": { "request": "9s" } })));
    balancer.wait_for_log("timeouts.request 10s -> 9s");
    assert_eq!(balancer.states(), ["healthy", "unhealthy"]);
    let after = balancer.metrics();
    assert_eq!(after["backends"][0]["total_requests"], before["backends"][0]["total_requests"]);
    assert_eq!(after["total_requests"], before["total_requests"]);
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_says_why() {
    let backends = ["a", "b"].map(Backend::named);
    let balancer = Balancer::start(of(&[&backends[0]], json!({})));
    balancer.write_config(r#"{ "algorithm": "fastest", "workers": 0 }"#);
    let line = balancer.wait_for_log("not reloaded");
    assert!(line.contains("workers") || line.contains("algorithm"), "{line}");
    eventually("both are named", || balancer.log_lines_with("not reloaded").len() == 2);
    assert_eq!(balancer.get("/").text(), "a");
    balancer.write_config("{");
    eventually("the next one is noticed", || balancer.log_lines_with("not valid JSON").len() == 1);
    write(&balancer, &of(&[&backends[1]], json!({})));
    balancer.wait_for_log("configuration reloaded");
    assert_eq!(balancer.get("/").text(), "b");
}

#[test]
fn what_is_bound_at_the_start_needs_a_restart_and_the_log_says_so() {
    let backend = Backend::named("a");
    let balancer = Balancer::start(of(&[&backend], json!({})));
    write(&balancer, &of(&[&backend], json!({ "workers": 3, "listen": "127.0.0.1:1" })));
    balancer.wait_for_log("needs a restart");
    eventually("both are named", || {
        ["field=listen", "field=workers"].iter().all(|field| !balancer.log_lines_with(field).is_empty())
    });
    assert_eq!(balancer.get("/").text(), "a");
}

#[test]
fn sighup_reads_it_again_even_unchanged() {
    let backend = Backend::named("a");
    let balancer = Balancer::start(of(&[&backend], json!({})));
    balancer.signal(Signal::HUP);
    let line = balancer.wait_for_log("configuration reloaded");
    assert!(line.contains("nothing has changed"), "{line}");
}

#[test]
fn a_rename_over_it_and_a_swapped_link_are_noticed() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |name: &str, backend: &Backend| {
        std::fs::write(path(name), of(&[backend], json!({})).to_string()).unwrap();
    };
    put("one.json", &backends[0]);
    std::os::unix::fs::symlink("one.json", path("link.json")).unwrap();
    let link = path("link.json").display().to_string();
    let balancer = Run::of(["--config", &link]).start();
    assert_eq!(balancer.get("/").text(), "a");
    put("new.json", &backends[1]);
    std::fs::rename(path("new.json"), path("one.json")).unwrap();
    eventually("the renamed one counts", || balancer.get("/").text() == "b");
    put("two.json", &backends[2]);
    std::os::unix::fs::symlink("two.json", path("new-link")).unwrap();
    std::fs::rename(path("new-link"), path("link.json")).unwrap();
    eventually("the swapped one counts", || balancer.get("/").text() == "c");
}

#[test]
fn a_change_says_how_many_hashed_clients_move() {
    let backends: Vec<Backend> = (0..10).map(|n| Backend::named(&n.to_string())).collect();
    let all: Vec<&Backend> = backends.iter().collect();
    let hashed = json!({ "algorithm": "consistent_hash" });
    let balancer = Balancer::start(of(&all[..9], hashed.clone()));
    write(&balancer, &of(&all, hashed));
    let line = balancer.wait_for_log("configuration reloaded");
    let share = line.split(" % of hashed clients move").next().unwrap().rsplit(' ').next().unwrap();
    let share: f64 = share.parse().unwrap_or_else(|_| panic!("{line}"));
    assert!((8.0..12.0).contains(&share), "{line}");
}

#[test]
fn twenty_reloads_under_load_fail_no_request_and_cut_no_stream() {
    let backends: Vec<Backend> = (0..5).map(|n| Backend::named(&n.to_string())).collect();
    let long = Backend::that(Behaviour::HoldsHalfWay(Answer::ok(vec![b'x'; 100_000])));
    let all: Vec<&Backend> = backends.iter().collect();
    let stream_pool = json!({
        "pools": { "long": { "backends": [{ "url": long.url() }] } },
        "routes": [{ "path": "/long", "pool": "long" }],
    });
    let balancer = Balancer::start(of(&all[..2], stream_pool));
    let mut stream = balancer.asking("/long");
    long.wait_for_heads(1);
    let (stop, answered) = (Stop::default(), AtomicU64::new(0));
    let address = balancer.address();
    thread::scope(|scope| {
        let end = stop.at_the_end();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    while !stop.is_set() {
                        assert_eq!(client.get("/").status, 200);
                        answered.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let algorithms = ["round_robin", "least_conn", "ip_hash", "power_of_two", "consistent_hash"];
        for number in 1..=20 {
            // The pool of the stream goes as well, and the stream with it goes on.
            let mut new = of(
                &all[number % 3..number % 3 + 1 + number % 2],
                json!({ "algorithm": algorithms[number % 5] }),
            );
            new["backends"][0]["weight"] = json!(1 + number % 7);
            write(&balancer, &new);
            balancer.signal(Signal::HUP);
            eventually("it is loaded", || balancer.log_lines_with("configuration reloaded").len() >= number);
            // Each configuration has something to do.
            let before = answered.load(SeqCst);
            eventually("answers go on", || answered.load(SeqCst) > before + 20);
        }
        drop(end);
        // A panic in one of them is an error that a client has seen.
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    long.release();
    assert_eq!(stream.read_response().body.len(), 100_000);
    let page = balancer.metrics();
    assert_eq!(page["failed_requests"], 0, "{page}");
}
