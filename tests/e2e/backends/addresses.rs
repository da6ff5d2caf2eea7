//! Names whose addresses are backends of their own: `backends[].addresses` with `each` and `srv`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use serde_json::{Value, json};

use super::{by_name, fleet};
use crate::support::{Admin, Backend, Balancer, Behaviour, Client, Dns, Health, Run, Says, eventually};

fn ip(number: usize) -> String {
    format!("127.0.1.{number}")
}

/// Three addresses, and a balancer that knows them by one name.
fn three(more: Value) -> (Dns, Vec<Backend>, Balancer) {
    let (dns, fleet) = (Dns::start(), fleet(1, 3));
    dns.says_addresses("app.test", &["127.0.1.3", "127.0.1.1", "127.0.1.2"]);
    let balancer = Balancer::start(by_name(&dns.address(), fleet[0].address().port(), more));
    (dns, fleet, balancer)
}

#[test]
fn each_address_has_its_share_and_its_own_figures() {
    let (_dns, fleet, balancer) = three(json!({}));
    assert_eq!(balancer.shares(9).into_values().collect::<Vec<_>>(), [3, 3, 3]);
    let metrics = balancer.metrics_after(9);
    let backends = metrics["backends"].as_array().unwrap();
    let port = fleet[0].address().port();
    for (number, backend) in (1..).zip(backends) {
        assert_eq!(backend["url"], format!("http://127.0.1.{number}:{port}"));
        assert_eq!(backend["name"], format!("http://app.test:{port}"));
        assert_eq!(backend["total_requests"], 3);
    }
    let page = balancer.get("/lb-metrics?format=prometheus");
    let series = format!(
        r#"loadbalancer_backend_attempts_total{{pool="default",backend="http://127.0.1.2:{port}",name="http://app.test:{port}"}} 3"#
    );
    assert!(page.text().contains(&series), "{}", page.text());
    let asked = fleet[0].asked();
    assert_eq!(asked[0].header("host"), Some("example.com"), "the client's");
}

#[test]
fn one_that_dies_is_left_alone_and_its_siblings_serve_on() {
    let (_dns, mut fleet, balancer) = three(json!({}));
    fleet[1].stop();
    balancer.wait_for_states(&["healthy", "unhealthy", "healthy"]);
    assert_eq!(balancer.shares(8), BTreeMap::from([("1".into(), 4), ("3".into(), 4)]));
    let breakers = balancer.metrics()["backends"].clone();
    assert!(breakers.as_array().unwrap().iter().all(|it| it["breaker"] == "closed"), "{breakers}");
    fleet[1].restart();
    balancer.wait_for_states(&["healthy"; 3]);
    assert_eq!(balancer.shares(9).len(), 3);
}

#[test]
fn one_that_hangs_opens_its_own_breaker_only() {
    let dns = Dns::start();
    let mut fleet = fleet(1, 2);
    let port = fleet[0].address().port();
    let hangs = Backend::that_on(format!("127.0.1.3:{port}").parse().unwrap(), Behaviour::Hangs);
    fleet.extend(hangs);
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2", "127.0.1.3"]);
    let more =
        json!({ "timeouts": { "request": "200ms" }, "circuit_breaker": { "failures": 2, "cooldown": "1h" } });
    let balancer = Balancer::start(by_name(&dns.address(), port, more));
    eventually("its breaker opens", || {
        assert_eq!(balancer.get("/").status, 200);
        balancer.metrics()["backends"][2]["breaker"] == "open"
    });
    let metrics = balancer.metrics();
    assert_eq!(
        (&metrics["backends"][0]["breaker"], &metrics["backends"][1]["breaker"]),
        (&json!("closed"), &json!("closed"))
    );
    assert_eq!(balancer.shares(8), BTreeMap::from([("1".into(), 4), ("2".into(), 4)]));
}

#[test]
fn one_that_leaves_is_let_go_and_is_back_with_its_figures() {
    let (dns, _fleet, balancer) = three(json!({}));
    balancer.shares(9);
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2"]);
    let line = balancer.wait_for_log("gone=1");
    assert!(line.contains("msg=\"addresses changed\"") && line.contains("name=http://app.test:"), "{line}");
    eventually("it is gone", || balancer.total_backends() == 2);
    assert_eq!(balancer.shares(6), BTreeMap::from([("1".into(), 3), ("2".into(), 3)]));
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2", "127.0.1.3"]);
    eventually("it is back", || balancer.metrics()["backends"][2]["total_requests"].as_u64() >= Some(3));
    eventually("it serves", || balancer.get("/").text() == "3");
}

#[test]
fn a_newcomer_takes_requests_after_its_first_passed_probe() {
    let (dns, fleet) = (Dns::start(), fleet(1, 2));
    dns.says_addresses("app.test", &["127.0.1.1"]);
    fleet[1].set_health(Health::Hangs);
    let balancer = Balancer::start(by_name(&dns.address(), fleet[0].address().port(), json!({})));
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2"]);
    eventually("it is known", || balancer.total_backends() == 2);
    assert_eq!(balancer.shares(10), BTreeMap::from([("1".into(), 10)]));
    fleet[1].set_health(Health::Passes);
    eventually("it has passed a probe", || balancer.get("/").text() == "2");
}

#[test]
fn answers_that_fail_or_shrink_to_nothing_change_nothing_and_are_told_once() {
    let (dns, _fleet, balancer) = three(json!({}));
    for says in [Says::NoSuchName, Says::Nothing, Says::Failure, Says::Silence] {
        dns.says("app.test", says.clone());
        dns.wait_for_questions(4);
        assert_eq!(balancer.shares(9).into_values().collect::<Vec<_>>(), [3, 3, 3], "{says:?}");
        let metrics = balancer.metrics();
        let name = &metrics["names"][0];
        assert!(name["last_error"].is_string() && name["addresses"] == 3, "{says:?}: {name}");
    }
    assert_eq!(balancer.log_lines_with("msg=\"name not resolved\"").len(), 1, "{:?}", balancer.log_lines());
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2", "127.0.1.3"]);
    balancer.wait_for_log("msg=\"name resolved again\"");
    assert_eq!(balancer.metrics()["names"][0]["last_error"], Value::Null);
}

#[test]
fn an_answer_alone_does_not_take_the_last_one_that_serves() {
    let (dns, _fleet, balancer) = three(json!({}));
    // Nobody is there.
    dns.says_addresses("app.test", &["127.0.1.200"]);
    dns.wait_for_questions(12);
    assert_eq!(balancer.shares(9).into_values().collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn a_slow_name_server_delays_neither_the_start_nor_a_reload_nor_a_request() {
    let dns = Dns::start();
    dns.says("app.test", Says::Silence);
    let other = Backend::named("other");
    let mut config = by_name(&dns.address(), 1, json!({ "timeouts": { "resolve": "1h" } }));
    config["dns"]["timeout"] = json!("1h");
    config["pools"] = json!({ "other": { "backends": [{ "url": other.url() }] } });
    config["routes"] = json!([{ "path": "/other", "pool": "other" }]);
    let balancer = Balancer::start(config.clone());
    assert_eq!(balancer.get("/other").text(), "other");
    let answer = balancer.get("/");
    assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("no_healthy_backend")));
    config["backends"][0]["url"] = json!("http://another.test:1");
    balancer.write_config(&config.to_string());
    balancer.wait_for_log("msg=\"configuration reloaded\"");
    assert_eq!(balancer.get("/other").text(), "other");
}

#[test]
fn services_have_ports_weights_and_backups_from_their_records() {
    let dns = Dns::start();
    let [heavy, light, backup] = ["heavy", "light", "backup"].map(Backend::named);
    let port = |backend: &Backend| backend.address().port();
    dns.says(
        "_http._tcp.app.test",
        Says::Services(vec![
            (20, 1, port(&backup), "c.app.test"),
            (10, 1, port(&light), "b.app.test"),
            (10, 3, port(&heavy), "a.app.test"),
        ]),
    );
    for name in ["a.app.test", "b.app.test", "c.app.test"] {
        dns.says_addresses(name, &["127.0.0.1"]);
    }
    let mut config = by_name(&dns.address(), 1, json!({ "host_header": "backend" }));
    config["backends"] = json!([{ "url": "http://_http._tcp.app.test", "addresses": "srv", "weight": 2 }]);
    let balancer = Balancer::start(config);
    assert_eq!(balancer.shares(8), BTreeMap::from([("heavy".into(), 6), ("light".into(), 2)]));
    assert_eq!(heavy.asked()[0].header("host"), Some(&*format!("a.app.test:{}", port(&heavy))));
    let metrics = balancer.metrics();
    let weights: Vec<_> =
        metrics["backends"].as_array().unwrap().iter().map(|it| it["weight"].clone()).collect();
    assert!(weights.contains(&json!(6)) && weights.contains(&json!(2)), "{weights:?}");
    assert!(
        metrics["backends"].as_array().unwrap().iter().all(|it| it["name"] == "http://_http._tcp.app.test")
    );
    // That there is no service any more is no order either.
    dns.says("_http._tcp.app.test", Says::Services(vec![(0, 0, 0, "")]));
    dns.wait_for_questions(4);
    assert_eq!(balancer.shares(8).len(), 2);
}

#[test]
fn an_answer_that_is_cut_is_asked_for_again_and_the_rest_beyond_256_is_said() {
    let dns = Dns::start();
    let all: Vec<String> =
        (0..300).map(|number| format!("127.1.{}.{}", number / 250, number % 250 + 1)).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    dns.says_addresses("app.test", &all);
    let balancer =
        Balancer::start(by_name(&dns.address(), 1, json!({ "health_check": { "interval": "1h" } })));
    assert_eq!(balancer.total_backends(), 256);
    let line = balancer.wait_for_log("more addresses than can be used");
    assert!(line.contains("used=256") && line.contains("left_out=44"), "{line}");
    assert_eq!(balancer.metrics()["names"][0]["left_out"], 44);
}

#[test]
fn the_rest_of_more_than_256_services_is_said() {
    let dns = Dns::start();
    dns.says_addresses("app.test", &["127.0.0.1"]);
    let services = (1..=300).map(|port| (0, 1, port, "app.test")).collect();
    dns.says("_http._tcp.app.test", Says::Services(services));
    let mut config = by_name(&dns.address(), 1, json!({ "health_check": { "interval": "1h" } }));
    config["backends"] = json!([{ "url": "http://_http._tcp.app.test", "addresses": "srv" }]);
    let balancer = Balancer::start(config);
    assert_eq!(balancer.total_backends(), 256);
    let line = balancer.wait_for_log("more addresses than can be used");
    assert!(line.contains("used=256") && line.contains("left_out=44"), "{line}");
}

#[test]
fn people_name_one_by_its_address_or_all_by_their_name() {
    let (dns, fleet) = (Dns::start(), fleet(1, 2));
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2"]);
    let port = fleet[0].address().port();
    let admin = Admin::over(by_name(&dns.address(), port, json!({ "admin": { "listen": "127.0.0.1:0" } })));
    admin.post(&format!("/backends/drain?url=http://127.0.1.1:{port}"));
    assert_eq!(admin.balancer.states(), ["draining", "healthy"]);
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2", "127.0.1.77"]);
    eventually("pools were built anew", || admin.balancer.total_backends() == 3);
    assert_eq!(admin.balancer.states()[0], "draining", "what was set by hand stays");
    admin.post(&format!("/backends/drain?url=http://app.test:{port}"));
    assert_eq!(admin.balancer.states(), ["draining"; 3]);
    admin.post(&format!("/backends/enable?url=http://app.test:{port}"));
    assert_eq!(admin.balancer.states()[..2], ["healthy", "healthy"]);
}

#[test]
fn two_balancers_agree_on_their_clients_and_a_rotating_name_moves_nobody() {
    let (dns, fleet) = (Dns::start(), fleet(1, 6));
    let all: Vec<String> = (1..=6).map(ip).collect();
    let say = |numbers: &[usize]| {
        let some: Vec<&str> = numbers.iter().map(|number| all[*number].as_str()).collect();
        dns.says_addresses("app.test", &some);
    };
    say(&[0, 1, 2, 3, 4, 5]);
    // Ten probes are the time in which somebody may come back.
    let check = json!({ "interval": "3s", "unhealthy_threshold": 1 });
    let more = json!({ "algorithm": "consistent_hash", "health_check": check });
    let with = by_name(&dns.address(), fleet[0].address().port(), more);
    let balancers = [Balancer::start(with.clone()), Balancer::start(with)];
    let homes = |balancer: &Balancer| -> Vec<String> {
        let home = |number: usize| {
            let client = format!("192.0.{}.{}", number / 250, number % 250);
            balancer.get_for(&client, "/").text().to_owned()
        };
        (0..200).map(home).collect()
    };
    let before = homes(&balancers[0]);
    assert_eq!(homes(&balancers[1]), before);
    // What the answers lack comes back before it was let go, or soon after.
    for turn in 0..12 {
        say(if turn % 2 == 0 { &[0, 1, 2] } else { &[5, 4, 3] });
        dns.wait_for_questions(2);
    }
    for balancer in &balancers {
        eventually("all are there", || balancer.total_backends() == 6);
        assert_eq!(homes(balancer), before);
    }
    // One that leaves for good moves its own clients only.
    let mut fleet = fleet;
    fleet[3].stop();
    say(&[0, 1, 2, 4, 5]);
    for balancer in &balancers {
        eventually("it has left", || balancer.total_backends() == 5);
        let after = homes(balancer);
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || before == "4"));
        assert!(!after.contains(&"4".to_owned()));
    }
}

#[test]
fn no_request_fails_while_addresses_change() {
    const REQUESTS: usize = 3000;
    let (dns, fleet) = (Dns::start(), fleet(1, 4));
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"]);
    let more = json!({ "health_check": { "interval": "100ms" } });
    let balancer = Balancer::start(by_name(&dns.address(), fleet[0].address().port(), more));
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        let client = || {
            let mut client = Client::connect(balancer.address());
            while sent.fetch_add(1, SeqCst) < REQUESTS {
                assert_eq!(client.get("/").status, 200);
            }
        };
        let clients = [(); 4].map(|()| scope.spawn(client));
        let all: Vec<String> = (1..=4).map(ip).collect();
        let mut turn = 0;
        while !clients.iter().any(|client| client.is_finished()) {
            turn += 1;
            let some: Vec<&str> = (0..2).map(|more| all[(turn + more) % 4].as_str()).collect();
            dns.says_addresses("app.test", &some);
            dns.wait_for_questions(1);
        }
        assert!(turn > 3, "{turn} changes");
    });
    let metrics = balancer.metrics();
    assert_eq!((&metrics["failed_requests"], &metrics["success_requests"]), (&json!(0), &json!(REQUESTS)));
}

#[test]
fn what_is_no_use_is_a_mistake_with_its_field() {
    for (backend, mistake) in [
        (r#"{ "url": "http://127.0.0.1:80", "addresses": "each" }"#, "backends[0].addresses: of no effect"),
        (r#"{ "url": "unix:/a.sock", "addresses": "each" }"#, "backends[0].addresses: of no effect"),
        (r#"{ "url": "http://a.test:80", "addresses": "srv" }"#, "write the URL without one"),
        (r#"{ "url": "http://a.test", "addresses": "all" }"#, r#""all" is not one of "one", "each", "srv""#),
    ] {
        let finished = Run::of(["check", "-"]).input(&format!(r#"{{ "backends": [{backend}] }}"#)).output();
        assert_eq!(finished.code, Some(2), "{backend}");
        assert!(finished.stderr.contains(mistake), "{backend}: {}", finished.stderr);
    }
    for (dns, mistake) in [
        (r#"{ "servers": ["x"] }"#, "dns.servers[0]: \"x\" is not a server's address"),
        (r#"{ "servers": [] }"#, "dns.servers: names nobody"),
        (r#"{ "timeout": 1 }"#, "dns.timeout: found the number 1"),
        (r#"{ "ttl": "1s" }"#, "dns.ttl: unknown field"),
    ] {
        let finished = Run::of(["check", "-"]).input(&format!(r#"{{ "dns": {dns} }}"#)).output();
        assert!(finished.stderr.contains(mistake), "{dns}: {}", finished.stderr);
    }
}

#[test]
fn check_probes_each_address() {
    let (dns, mut fleet) = (Dns::start(), fleet(1, 2));
    dns.says_addresses("app.test", &["127.0.1.1", "127.0.1.2"]);
    fleet[1].stop();
    let port = fleet[0].address().port();
    let config = by_name(&dns.address(), port, json!({ "timeouts": { "backend_idle": "50ms" } })).to_string();
    let finished = Run::of(["check", "--probe", "-"]).input(&config).output();
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    for line in [
        format!("http://127.0.1.1:{port} of http://app.test:{port}"),
        format!("http://127.0.1.2:{port} of http://app.test:{port}"),
        "1 of 2 backends answer".to_owned(),
    ] {
        assert!(finished.stdout.contains(&line), "{line}: {}", finished.stdout);
    }
    dns.says("app.test", Says::NoSuchName);
    let finished = Run::of(["check", "--probe", "-"]).input(&config).output();
    assert!(finished.stdout.contains("no such name (NXDOMAIN)"), "{}", finished.stdout);
}
