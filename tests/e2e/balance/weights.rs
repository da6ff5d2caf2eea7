//! What the configuration says of single backends and of how clients stay with them: weights, backups,
//! connection limits, slow start, hash keys, sticky cookies, pools and routes.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Response, config, eventually};

fn named(names: &[&str]) -> Vec<Backend> {
    names.iter().map(|name| Backend::named(name)).collect()
}

/// A balancer over these, each with what `entries` adds to it.
fn start(backends: &[Backend], entries: &[Value], more: Value) -> Balancer {
    let mut config = config(&backends.iter().collect::<Vec<_>>(), more);
    for (index, entry) in entries.iter().enumerate() {
        config["backends"][index].as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
    }
    Balancer::start(config)
}

fn texts(balancer: &Balancer, count: usize) -> String {
    (0..count).map(|_| balancer.get("/").text().to_owned()).collect()
}

fn get_with(balancer: &Balancer, path: &str, name: &str, value: &str) -> Response {
    balancer.ask("GET", path, &[(name, value)], b"")
}

#[test]
fn weights_are_interleaved_smoothly() {
    let backends = named(&["a", "b", "c"]);
    let balancer = start(&backends, &[json!({ "weight": 5 })], json!({}));
    assert_eq!(texts(&balancer, 14), "aabacaaaabacaa");
}

#[test]
fn weight_0_takes_nothing() {
    let backends = named(&["a", "b"]);
    let balancer = start(&backends, &[json!({ "weight": 0 })], json!({}));
    assert_eq!(texts(&balancer, 4), "bbbb");
}

#[test]
fn power_of_two_avoids_the_slow_one() {
    let fast = named(&["f", "g"]);
    let slow = Backend::slow(Duration::from_millis(30));
    let all: Vec<&Backend> = fast.iter().chain([&slow]).collect();
    let balancer = Balancer::start(config(&all, json!({ "algorithm": "power_of_two" })));
    (0..60).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    let slow_share = balancer.metrics()["backends"][2]["total_requests"].as_u64().unwrap();
    assert!(slow_share <= 12, "the slow one got {slow_share} of 60");
}

#[test]
fn a_lost_backend_moves_its_own_clients_and_no_others() {
    let backends = named(&["a", "b", "c", "d"]);
    let more = json!({ "algorithm": "consistent_hash" });
    let (one, other) = (start(&backends, &[], more.clone()), start(&backends, &[], more));
    let clients: Vec<String> = (1..=80).map(|number| format!("192.0.2.{number}")).collect();
    let homes = |balancer: &Balancer| -> Vec<String> {
        clients.iter().map(|client| balancer.get_for(client, "/").text().to_owned()).collect()
    };
    let before = homes(&one);
    assert_eq!(before, homes(&other), "two instances agree");
    backends[1].set_healthy(false);
    one.wait_for_states(&["healthy", "unhealthy", "healthy", "healthy"]);
    for (before, after) in before.iter().zip(homes(&one)) {
        assert!(before == "b" || *before == after, "{before} moved to {after}");
        assert_ne!(after, "b");
    }
}

#[test]
fn a_hash_follows_its_key() {
    let backends = named(&["a", "b", "c"]);
    for (key, name) in [("header:X-User", "X-User"), ("cookie:user", "Cookie")] {
        let more = json!({ "algorithm": "ip_hash", "hash_key": key });
        let balancer = start(&backends, &[], more);
        let home = |user: &str| {
            let value = if name == "Cookie" { format!("x=y; user={user}") } else { user.to_owned() };
            get_with(&balancer, "/", name, &value).text().to_owned()
        };
        // int(md5(user).hexdigest(), 16) % 3, worked out with Python.
        let homes = ["alice", "bob", "erin", "frank"].map(home);
        assert_eq!(homes, ["b", "c", "a", "a"], "{key}");
    }
    let balancer = start(&backends, &[], json!({ "algorithm": "consistent_hash", "hash_key": "path" }));
    let paths: Vec<_> = (0..20).map(|n| balancer.get(&format!("/{n}")).text().to_owned()).collect();
    let again: Vec<_> = (0..20).map(|n| balancer.get(&format!("/{n}?q")).text().to_owned()).collect();
    assert_eq!(paths, again, "the query does not count");
    assert!(paths.iter().any(|home| *home != paths[0]));
}

#[test]
fn a_sticky_cookie_keeps_a_client_with_its_backend() {
    let backends = named(&["a", "b", "c"]);
    let balancer = start(&backends, &[], json!({ "sticky_cookie": "lb" }));
    let first = balancer.get("/");
    let cookie = first.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("lb=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    let port = backends[0].address().port().to_string();
    assert!(!cookie.contains(&port) && !cookie.contains("127.0.0.1"), "it names no address");
    let value = cookie.split(';').next().unwrap();
    for _ in 0..5 {
        let answer = get_with(&balancer, "/", "Cookie", value);
        assert_eq!(answer.text(), first.text());
        assert_eq!(answer.header("set-cookie"), None, "it says so already");
    }
    let index = ["a", "b", "c"].iter().position(|name| *name == first.text()).unwrap();
    backends[index].set_healthy(false);
    eventually("it is noticed", || balancer.states()[index] == "unhealthy");
    let elsewhere = get_with(&balancer, "/", "Cookie", value);
    assert_ne!(elsewhere.text(), first.text());
    assert!(elsewhere.header("set-cookie").is_some_and(|new| !new.starts_with(value)));
    assert!(get_with(&balancer, "/", "Cookie", "lb=nonsense").header("set-cookie").is_some());
}

#[test]
fn a_backup_serves_only_when_no_other_can() {
    let mut backends = named(&["a", "b", "spare"]);
    let balancer = start(&backends, &[json!({}), json!({}), json!({ "backup": true })], json!({}));
    assert_eq!(texts(&balancer, 4), "abab");
    backends[0].stop();
    backends[1].stop();
    // Before the probes know it, too.
    assert_eq!(balancer.get("/").text(), "spare");
    balancer.wait_for_states(&["unhealthy", "unhealthy", "healthy"]);
    assert_eq!(balancer.get("/").text(), "spare");
    backends[1].restart();
    balancer.wait_for_states(&["unhealthy", "healthy", "healthy"]);
    assert_eq!(balancer.get("/").text(), "b");
}

#[test]
fn no_backend_gets_more_than_its_connections_and_the_rest_waits() {
    let backends = [Backend::that(Behaviour::Holds(Answer::ok("held")))];
    let entry = json!({ "max_connections": 2 });
    let balancer = start(&backends, &[entry], json!({ "timeouts": { "queue": "20s" } }));
    let mut clients: Vec<_> = (0..5).map(|_| balancer.asking("/")).collect();
    eventually("two are there", || backends[0].heads() == 2);
    // Nobody else comes, however long they wait.
    assert!(!clients[4].is_answered_within(Duration::from_millis(300)));
    assert_eq!(backends[0].heads(), 2);
    assert_eq!(balancer.metrics()["backends"][0]["active_connections"], 2);
    backends[0].release();
    clients.iter_mut().for_each(|client| assert_eq!(client.read_response().text(), "held"));
}

#[test]
fn what_waits_too_long_for_a_place_is_503() {
    let backends = [Backend::that(Behaviour::Holds(Answer::ok("held")))];
    let entry = json!({ "max_connections": 1 });
    let balancer = start(&backends, &[entry], json!({ "timeouts": { "queue": "200ms" } }));
    let mut holder = balancer.asking("/");
    backends[0].wait_for_heads(1);
    let refused = balancer.get("/");
    assert_eq!((refused.status, refused.header("x-lb-reason")), (503, Some("queue_timeout")));
    assert!(refused.header("retry-after").is_some());
    backends[0].release();
    assert_eq!(holder.read_response().text(), "held");
    assert_eq!(balancer.get("/").text(), "held");
}

#[test]
fn a_full_backend_is_passed_by_while_others_have_room() {
    let held = Backend::that(Behaviour::Holds(Answer::ok("held")));
    let backends = [held, Backend::named("free")];
    let balancer = start(&backends, &[json!({ "max_connections": 1 })], json!({}));
    let mut holder = balancer.asking("/");
    backends[0].wait_for_heads(1);
    for _ in 0..6 {
        assert_eq!(balancer.get("/").text(), "free");
    }
    backends[0].release();
    holder.read_response();
}

#[test]
fn a_backend_that_came_back_climbs() {
    let backends = named(&["old", "new"]);
    let balancer = start(&backends, &[], json!({ "slow_start": "30s" }));
    balancer.wait_for_states(&["healthy", "healthy"]);
    backends[1].set_healthy(false);
    balancer.wait_for_states(&["healthy", "unhealthy"]);
    backends[1].set_healthy(true);
    balancer.wait_for_states(&["healthy", "healthy"]);
    let begun = Instant::now();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for _ in 0..100 {
        *counts.entry(balancer.get("/").text().to_owned()).or_default() += 1;
    }
    let new = counts.get("new").copied().unwrap_or(0);
    // At its end it would be 50; in its first seconds it is a small part of that.
    let most = 5 + (begun.elapsed().as_secs_f64() / 30.0 * 100.0) as usize;
    assert!(new <= most, "{new} of 100, {most} at most");
}

#[test]
fn routes_go_to_their_pools() {
    let backends = named(&["default", "api", "wild"]);
    let url = |index: usize| json!([{ "url": backends[index].url() }]);
    let more = json!({
        "pools": {
            "api": { "backends": url(1), "algorithm": "least_conn" },
            "wild": { "backends": url(2), "health_check": { "path": "/up" } },
        },
        "routes": [
            { "path": "/v1", "pool": "api" },
            { "host": "*.example.com", "pool": "wild" },
            { "host": "www.example.com", "path": "/v1", "pool": "default" },
        ],
    });
    let balancer = Balancer::start(config(&[&backends[0]], more));
    for (host, path, expected) in [
        ("x.org", "/", "default"),
        ("x.org", "/v1", "api"),
        ("x.org", "/v1/a", "api"),
        ("x.org", "/v10", "default"),
        ("A.Example.COM:80", "/v1", "wild"),
        ("www.example.com", "/v1", "default"),
        ("www.example.com", "/", "wild"),
    ] {
        let mut client = balancer.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.read_response().text(), expected, "{host}{path}");
    }
    let page = balancer.metrics();
    let pools: Vec<_> = page["backends"].as_array().unwrap().iter().map(|it| it["pool"].clone()).collect();
    assert_eq!(pools, ["default", "api", "wild"]);
    assert_eq!(page["total_backends"], 3);
}

#[test]
fn a_pool_whose_backends_are_down_leaves_the_others_alone() {
    let mut backends = named(&["default", "api"]);
    let more = json!({
        "pools": { "api": { "backends": [{ "url": backends[1].url() }] } },
        "routes": [{ "path": "/api", "pool": "api" }],
    });
    let balancer = Balancer::start(config(&[&backends[0]], more));
    backends[1].stop();
    eventually("it is noticed", || balancer.states() == ["healthy", "unhealthy"]);
    assert_eq!(balancer.get("/api").status, 503);
    assert_eq!(balancer.get("/").text(), "default");
    assert_eq!(balancer.get("/lb-health").status, 200);
}

#[test]
fn a_backend_behind_a_unix_socket() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix");
                }
            });
        }
    });
    let url = format!("unix:{}", path.display());
    let balancer = Balancer::start(config(&[], json!({ "backends": [{ "url": url }] }))).once_probed();
    for _ in 0..3 {
        assert_eq!(balancer.get("/").text(), "unix");
    }
    assert_eq!(balancer.states(), ["healthy"]);
}
