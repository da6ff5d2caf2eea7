//! What a pool says for itself, and what it takes from the top level.

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, config, eventually};

fn named(names: &[&str]) -> Vec<Backend> {
    names.iter().map(|name| Backend::named(name)).collect()
}

/// A balancer with the pool `own` behind `/own` and the pool `default` for the rest.
fn start(default: &[Backend], own: &[Backend], settings: Value, more: Value) -> Balancer {
    let mut config = config(&default.iter().collect::<Vec<_>>(), more);
    let urls: Vec<Value> = own.iter().map(|backend| json!({ "url": backend.url() })).collect();
    config["pools"] = json!({ "own": settings });
    config["pools"]["own"]["backends"] = json!(urls);
    config["routes"] = json!([{ "path": "/own", "pool": "own" }]);
    Balancer::start(config)
}

/// The answers for these users, one after the other.
fn homes(balancer: &Balancer, path: &str, users: &[&str]) -> String {
    let home = |user: &&str| balancer.ask("GET", path, &[("X-User", user)], b"").text().to_owned();
    users.iter().map(home).collect()
}

/// `int(md5(user).hexdigest(), 16) % 3` is 1, 2, 0, 0: worked out with Python.
const USERS: [&str; 4] = ["alice", "bob", "erin", "frank"];

#[test]
fn its_own_algorithm_and_hash_key() {
    let (default, own) = (named(&["x", "y", "z"]), named(&["a", "b", "c"]));
    let settings = json!({ "algorithm": "ip_hash", "hash_key": "header:X-User" });
    let balancer = start(&default, &own, settings, json!({}));
    for _ in 0..3 {
        assert_eq!(homes(&balancer, "/own", &USERS), "bcaa");
    }
    assert_eq!(homes(&balancer, "/", &["alice"; 6]), "xyzxyz", "the other pool rotates on");
}

#[test]
fn its_own_rotation_beside_a_hashed_default() {
    let (default, own) = (named(&["x", "y", "z"]), named(&["a", "b", "c"]));
    let more = json!({ "algorithm": "ip_hash", "hash_key": "header:X-User" });
    let balancer = start(&default, &own, json!({ "algorithm": "round_robin" }), more);
    assert_eq!(homes(&balancer, "/own", &["alice"; 6]), "abcabc");
    assert_eq!(homes(&balancer, "/", &USERS), "yzxx");
}

#[test]
fn what_it_does_not_say_is_as_at_the_top() {
    let (default, own) = (named(&["x", "y", "z"]), named(&["a", "b", "c"]));
    let more = json!({ "algorithm": "ip_hash", "hash_key": "header:X-User" });
    let balancer = start(&default, &own, json!({}), more);
    assert_eq!(homes(&balancer, "/own", &USERS), "bcaa");
}

#[test]
fn its_own_sticky_cookie() {
    let (default, own) = (named(&["x"]), named(&["a", "b"]));
    let balancer = start(&default, &own, json!({ "sticky_cookie": "own" }), json!({}));
    assert_eq!(balancer.get("/").header("set-cookie"), None);
    let first = balancer.get("/own");
    let cookie = first.header("set-cookie").expect("a cookie").split(';').next().unwrap();
    assert!(cookie.starts_with("own="), "{cookie}");
    for _ in 0..3 {
        assert_eq!(balancer.ask("GET", "/own", &[("Cookie", cookie)], b"").text(), first.text());
    }
}

#[test]
fn its_own_health_check() {
    let (default, own) = (named(&["x"]), named(&["a"]));
    own[0].set_healthy(false);
    // Its own page says 200, which is not what is expected of it; `/health` is nobody's business there.
    let settings = json!({ "health_check": { "path": "/up", "expect_status": "204" } });
    let balancer = start(&default, &own, settings, json!({}));
    balancer.wait_for_states(&["healthy", "unhealthy"]);
    let probes = || own[0].asked().iter().filter(|asked| asked.start == "GET /up HTTP/1.1").count();
    // The interval is still the one of the top.
    eventually("it is probed again and again", || probes() >= 3);
    assert_eq!(own[0].probes(), 0);
    default[0].wait_for_probes(3);
    assert_eq!(default[0].asked().len(), 0, "the other pool is asked for /health only");
    assert_eq!((balancer.get("/own").status, balancer.get("/").text()), (503, "x"));
}
