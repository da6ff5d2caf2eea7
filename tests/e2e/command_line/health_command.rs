//! `loadbalancer health`: an exit status and a line, by whatever listener there is.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Finished, Run, Signal, config, eventually, patience};

/// What the command says of this configuration, with the ports that the balancer has got.
fn health(config: &Value) -> Finished {
    Run::of(["health", "--config"]).file(&config.to_string()).output()
}

/// The same configuration at the port that the balancer listens on.
fn at(balancer: &Balancer, config: &Value, address: &str) -> Value {
    let mut config = config.clone();
    config["listen"] = json!(format!("{address}:{}", balancer.address().port()));
    config
}

#[track_caller]
fn is_well(config: &Value) {
    let run = health(config);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "ok"), "{run:?}");
}

#[track_caller]
fn is_unwell(config: &Value, reason: &str) {
    let run = health(config);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.starts_with("loadbalancer: ") && run.stderr.contains(reason), "{run:?}");
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{run:?}");
}

#[test]
fn it_is_well_until_a_drain_and_then_nobody_answers() {
    for front in [true, false] {
        let backend = Backend::named("one");
        let config =
            config(&[&backend], json!({ "front": front, "timeouts": { "pre_drain": "30s", "drain": "1s" } }));
        let mut balancer = Balancer::start(config.clone());
        let known = at(&balancer, &config, "127.0.0.1");
        is_well(&known);
        balancer.signal(Signal::TERM);
        balancer.wait_for_log("draining");
        is_unwell(&known, "loadbalancer: draining");
        balancer.process().signal(Signal::KILL);
        balancer.wait_exit();
        is_unwell(&known, "Connection refused");
    }
}

#[test]
fn no_backend_that_can_take_a_request_is_the_reason() {
    let mut backend = Backend::named("one");
    let config = config(&[&backend], json!({ "health_check": { "interval": "100ms" } }));
    let balancer = Balancer::start(config.clone());
    let known = at(&balancer, &config, "127.0.0.1");
    is_well(&known);
    backend.stop();
    balancer.wait_for_states(&["unhealthy"]);
    is_unwell(&known, "no backend can take a request");
}

#[test]
fn listeners_on_all_addresses_are_asked_on_loopback() {
    let backend = Backend::named("one");
    for address in ["0.0.0.0", "[::]"] {
        let config = config(&[&backend], json!({ "listen": format!("{address}:0") }));
        let balancer = Balancer::start(config.clone());
        is_well(&at(&balancer, &config, address));
    }
}

#[test]
fn unix_sockets_and_the_proxy_protocol_are_spoken() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("one"));
    let unix = format!("unix:{}?mode=0600", folder.path().join("lb.sock").display());
    for proxy_protocol in [false, true] {
        // Port 0 first: that one can't be found, and the next is asked.
        let listen = json!(["127.0.0.1:0", unix]);
        let config = config(&[&backend], json!({ "listen": listen, "proxy_protocol": proxy_protocol }));
        let balancer = Balancer::start(config.clone());
        balancer.wait_for_log("as=plain at=unix:");
        is_well(&config);
        is_well(&at(&balancer, &config, "127.0.0.1"));
    }
}

#[test]
fn where_the_plain_listener_is_closed_to_this_machine_the_admin_listener_is_asked() {
    let backend = Backend::named("one");
    let admin = json!({ "listen": "127.0.0.1:0", "token": "0123456789abcdef" });
    let more = json!({ "proxy_protocol": true, "proxy_protocol_from": ["192.0.2.0/24"], "admin": admin });
    let config = config(&[&backend], more);
    let balancer = Balancer::start(config.clone());
    let mut known = at(&balancer, &config, "127.0.0.1");
    is_unwell(&known, "`proxy_protocol_from` does not name 127.0.0.1");
    known["admin"]["listen"] = json!(balancer.address_as("admin").to_string());
    is_well(&known);
    known["admin"]["token"] = json!("another-one-altogether");
    is_unwell(&known, "wants another admin.token");
}

#[test]
fn a_mistake_that_was_saved_later_does_not_make_it_unwell() {
    let backend = Backend::named("one");
    let config = config(&[&backend], json!({}));
    let balancer = Balancer::start(config.clone());
    let mut known = at(&balancer, &config, "127.0.0.1");
    known["workers"] = json!("many");
    is_well(&known);
    known["listen"] = json!(5);
    let run = health(&known);
    assert!(run.code == Some(2) && run.stderr.contains("listen: found the number 5"), "{run:?}");
    let run = Run::of(["health"]).env("LB_LISTEN", &balancer.address().to_string()).output();
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn somebody_else_at_the_port_is_not_taken_for_the_balancer() {
    // The echo backend answers every path with 200.
    let backend = Backend::named("one");
    is_unwell(&json!({ "listen": backend.address().to_string() }), "which is not this balancer's /lb-health");
}

#[test]
fn one_that_accepts_and_says_nothing_is_given_up_in_three_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    is_unwell(&json!({ "listen": silent.local_addr().unwrap().to_string() }), ": timed out");
    let limit = Duration::from_secs(3);
    assert!((limit..limit + patience()).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[test]
fn one_that_trickles_is_given_up_as_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        while peer.write_all(b"H").is_ok() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    let mut run = Run::of(["health"]).env("LB_LISTEN", &address.to_string()).spawn();
    eventually("it has given up", || !run.is_running());
    assert_eq!(run.finish().code, Some(1));
}
