//! Who may see the balancer's own pages, and what each of them says.

use serde_json::json;

use crate::support::{Admin, Answer, Authority, Backend, Balancer, Behaviour, Signal, config, eventually};

const OURS: [&str; 2] = ["/lb-metrics", "/lb-dashboard"];
const FOR_ALL: [&str; 2] = ["/lb-health", "/lb-ready"];

/// Statuses of these pages for a client with this address.
fn statuses(balancer: &Balancer, client: &str, paths: [&str; 2]) -> [u16; 2] {
    paths.map(|path| balancer.get_for(client, path).status)
}

#[test]
fn strangers_see_no_pages_but_health() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for client in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "fd00::1", "::1"] {
        assert_eq!(statuses(&balancer, client, OURS), [200, 200], "{client}");
    }
    for client in ["192.0.2.1", "2001:db8::1", "172.32.0.1"] {
        assert_eq!(statuses(&balancer, client, OURS), [403, 403], "{client}");
        assert_eq!(statuses(&balancer, client, FOR_ALL), [200, 200], "{client}");
    }
    let refused = balancer.get_for("192.0.2.1", "/lb-metrics?format=prometheus");
    assert_eq!((refused.status, refused.header("x-lb-reason")), (403, Some("forbidden_address")));
    assert!(!refused.text().contains("backend"), "{}", refused.text());
    let page = eventually("all are counted", || {
        Some(balancer.metrics()).filter(|page| page["reasons"]["forbidden_address"] == 7)
    });
    assert_eq!(page["total_requests"], 0);
    assert_eq!(backend.asked().len(), 0, "none is passed on");
}

#[test]
fn a_configuration_says_who_sees_them() {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], json!({ "pages": ["192.0.2.0/24"] })));
    assert_eq!(statuses(&balancer, "192.0.2.1", OURS), [200, 200]);
    assert_eq!(statuses(&balancer, "127.0.0.1", OURS), [403, 403]);
    let open = config(&[&backend], json!({ "pages": true }));
    balancer.write_config(&open.to_string());
    eventually("a reload opens them", || balancer.get("/lb-metrics").status == 200);
    assert_eq!(statuses(&balancer, "198.51.100.7", OURS), [200, 200]);
    balancer.write_config(&config(&[&backend], json!({ "pages": false })).to_string());
    eventually("a reload closes them", || balancer.get("/lb-metrics").status == 403);
    assert_eq!(statuses(&balancer, "127.0.0.1", OURS), [403, 403]);
    assert_eq!(statuses(&balancer, "127.0.0.1", FOR_ALL), [200, 200]);
}

#[test]
fn none_of_them_is_sent_to_the_tls_listener() {
    let backend = Backend::named("one");
    let folder = tempfile::tempdir().unwrap();
    let mut tls = Authority::new(folder.path()).listener();
    tls["redirect_http"] = json!(true);
    let balancer = Balancer::start(config(&[&backend], json!({ "tls": tls })));
    assert_eq!(balancer.get("/").status, 308);
    assert_eq!(statuses(&balancer, "127.0.0.1", OURS), [200, 200]);
    assert_eq!(statuses(&balancer, "192.0.2.1", OURS), [403, 403]);
    assert_eq!(statuses(&balancer, "192.0.2.1", FOR_ALL), [200, 200]);
    // What a trusted proxy writes of a connection by TLS, in all ways that it is written.
    for (said, status) in [("https", 200), ("HTTPS", 200), ("wss", 200), ("http", 308), ("ws", 308)] {
        let answer = balancer.ask("GET", "/", &[("X-Forwarded-Proto", said)], b"");
        assert_eq!(answer.status, status, "{said}");
    }
}

#[test]
fn a_balancer_that_only_redirects_is_well_without_a_backend() {
    for front in [true, false] {
        let mut config = config(&[], json!({ "front": front }));
        config["backends"] = json!([]);
        config["routes"] = json!([{ "redirect": { "to": "https://www.example.com{path}" } }]);
        let balancer = Balancer::start(config);
        assert_eq!(balancer.get("/a").status, 308);
        assert_eq!(statuses(&balancer, "127.0.0.1", FOR_ALL), [200, 200]);
    }
}

#[test]
fn ready_is_said_in_a_drain_too_and_not_without_a_backend() {
    let held = Backend::that(Behaviour::Holds(Answer::ok("held")));
    let timeouts = json!({ "pre_drain": "1h", "drain": "1h" });
    let admin =
        Admin::over(config(&[&held], json!({ "timeouts": timeouts, "admin": { "listen": "127.0.0.1:0" } })));
    let balancer = &admin.balancer;
    assert_eq!(statuses(balancer, "127.0.0.1", FOR_ALL), [200, 200]);
    assert_eq!(admin.ask("GET", "/lb-ready", &[]).status, 200);
    balancer.signal(Signal::TERM);
    eventually("the drain has begun", || balancer.get("/lb-health").status == 503);
    assert_eq!(statuses(balancer, "127.0.0.1", FOR_ALL), [503, 200]);
    admin.post(&format!("/backends/disable?url={}", held.url()));
    let unready = balancer.get("/lb-ready");
    assert_eq!((unready.status, unready.header("x-lb-reason")), (503, Some("no_healthy_backend")));
    assert_eq!(balancer.ask("POST", "/lb-ready", &[], b"").status, 405);
}

/// `curl -u any:TOKEN` and a browser send the same.
#[test]
fn a_browser_logs_in_to_the_admin_listener() {
    let backend = Backend::named("a");
    let admin = Admin::start(&[&backend], json!({ "listen": "127.0.0.1:0", "token": "s3cret" }));
    let refused = admin.ask("GET", "/lb-dashboard", &[]);
    assert_eq!(refused.status, 401);
    let challenges = refused.all("www-authenticate");
    assert!(challenges[0].starts_with("Basic realm=\"") && challenges[1..] == ["Bearer"], "{challenges:?}");
    let ask = |authorization: &str, path: &str| {
        admin.ask("GET", path, &[("Authorization", authorization), ("Host", "lb.example")]).status
    };
    // ops:s3cret, :s3cret; ops:s3cre, s3cret:
    for path in ["/lb-dashboard", "/lb-metrics?buckets", "/backends"] {
        assert_eq!(
            ["b3BzOnMzY3JldA==", "OnMzY3JldA=="].map(|it| ask(&format!("Basic {it}"), path)),
            [200; 2]
        );
        assert_eq!(["b3BzOnMzY3Jl", "czNjcmV0Og=="].map(|it| ask(&format!("Basic {it}"), path)), [401; 2]);
    }
    let steered = [("Authorization", "Basic OnMzY3JldA=="), ("Origin", "http://evil.example")];
    let path = format!("/backends/disable?url={}", backend.url());
    assert_eq!(admin.ask("POST", &path, &steered).status, 403, "a browser that others steer");
    assert_eq!(admin.balancer.states(), ["healthy"]);
}
