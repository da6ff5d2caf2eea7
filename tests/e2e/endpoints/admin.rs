//! The admin listener: what it shows, what it changes, and whom it refuses.

use serde_json::json;

use crate::support::{Admin, Answer, Backend, Behaviour, config, eventually};

#[test]
fn backends_are_shown_and_the_pages_are_there_too() {
    let backends = ["a", "b"].map(Backend::named);
    let admin = Admin::on_loopback(&backends.each_ref());
    let page = admin.ask("GET", "/backends", &[]).json();
    let urls: Vec<_> = page["backends"].as_array().unwrap().iter().map(|it| it["url"].clone()).collect();
    assert_eq!(urls, [backends[0].url(), backends[1].url()]);
    for path in ["/lb-metrics", "/lb-health", "/lb-ready", "/lb-dashboard"] {
        assert_eq!(admin.ask("GET", path, &[]).status, 200, "{path}");
    }
}

#[test]
fn a_drained_backend_finishes_and_takes_nothing_new() {
    let held = Backend::that(Behaviour::Holds(Answer::ok("held")));
    let backends = [held, Backend::named("other")];
    let admin = Admin::on_loopback(&backends.each_ref());
    let mut client = admin.balancer.asking("/");
    backends[0].wait_for_heads(1);
    let answer = admin.post(&format!("/backends/drain?url={}", backends[0].url()));
    assert_eq!(answer.json()["backends"][0]["state"], "draining");
    (0..4).for_each(|_| assert_eq!(admin.balancer.get("/").text(), "other"));
    assert_eq!(admin.balancer.states(), ["draining", "healthy"]);
    backends[0].release();
    assert_eq!(client.read_response().text(), "held");
    admin.post(&format!("/backends/enable?url={}", backends[0].url()));
    eventually("it takes requests again", || admin.balancer.get("/").text() == "held");
    let escaped = backends[1].url().replace(':', "%3A").replace('/', "%2F");
    assert_eq!(admin.post(&format!("/backends/disable?url={escaped}")).status, 200);
    (0..4).for_each(|_| assert_eq!(admin.balancer.get("/").text(), "held"));
    assert_eq!(admin.balancer.states(), ["healthy", "disabled"]);
}

#[test]
fn what_was_set_by_hand_outlasts_a_reload_that_says_nothing_of_it() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let admin = Admin::on_loopback(&backends.each_ref());
    let [a, b, c] = backends.each_ref().map(Backend::url);
    let path = format!("/backends/weight?url={a}&weight=3");
    assert_eq!(admin.post(&path).json()["backends"][0]["weight"], 3);
    admin.post(&format!("/backends/drain?url={c}"));
    let counts = || {
        let texts: String = (0..8).map(|_| admin.balancer.get("/").text().to_owned()).collect();
        (texts.matches('a').count(), texts.matches('b').count(), texts.matches('c').count())
    };
    assert_eq!(counts(), (6, 2, 0));
    let answer = admin.post("/reload").json();
    let kept = |url: &str, set: &str| json!({ "pool": "default", "url": url, "set": set });
    assert_eq!(answer["set_by_hand"]["kept"], json!([kept(&a, "weight 3"), kept(&c, "draining")]));
    assert_eq!(answer["set_by_hand"]["overridden"], json!([]));
    assert_eq!(counts(), (6, 2, 0));
    let new = config(
        &[],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "backends": [
            { "url": a, "weight": 1 }, { "url": b, "weight": 2 }, { "url": c }
        ]}),
    );
    admin.balancer.write_config(&new.to_string());
    admin.balancer.wait_for_log("weight 1 -> 2 of");
    assert_eq!(admin.balancer.metrics()["backends"][0]["weight"], 3, "nothing was said of that one");
    assert_eq!(admin.balancer.states(), ["healthy", "healthy", "draining"]);
}

#[test]
fn a_reload_overrides_what_the_file_changes_and_says_who_came_and_went() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let admin = Admin::on_loopback(&[&backends[0], &backends[1]]);
    let [a, b, c] = backends.each_ref().map(Backend::url);
    admin.post(&format!("/backends/weight?url={a}&weight=3"));
    admin.post(&format!("/backends/disable?url={b}"));
    let new = config(
        &[],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "backends": [
            { "url": a, "weight": 5 }, { "url": c }
        ]}),
    );
    admin.balancer.write_config(&new.to_string());
    let line = admin.balancer.wait_for_log("what was set by hand is overridden");
    assert!(line.contains(&format!("{a}: weight 3 -> weight 5, {b}: disabled -> removed")), "{line}");
    let line = admin.balancer.wait_for_log("configuration reloaded");
    assert!(line.contains(&format!("added={c} removed={b}")), "{line}");
    assert_eq!(admin.balancer.metrics()["backends"][0]["weight"], 5);
    admin.post(&format!("/backends/weight?url={a}&weight=3"));
    let place = |url: &str| json!({ "pool": "default", "url": url });
    let next = config(
        &[],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "backends": [
            { "url": a, "weight": 6 }, { "url": b }
        ]}),
    );
    admin.balancer.write_config(&next.to_string());
    let answer = admin.post("/reload").json();
    // Whoever watches the file may have been faster; then this one has nothing left to do.
    if answer["changes"] != "nothing has changed" {
        assert_eq!((&answer["added"], &answer["removed"]), (&json!([place(&b)]), &json!([place(&c)])));
        let expected = json!([{ "pool": "default", "url": a, "set": "weight 3", "instead": "weight 6" }]);
        assert_eq!(answer["set_by_hand"]["overridden"], expected);
    }
    assert_eq!(admin.balancer.states(), ["healthy", "healthy"], "what left and came back is a new one");
}

#[test]
fn a_reload_answers_with_what_changed_or_what_is_wrong() {
    let backends = ["a", "b"].map(Backend::named);
    let admin = Admin::on_loopback(&backends.each_ref());
    let answer = admin.post("/reload");
    assert_eq!((answer.status, &answer.json()["changes"]), (200, &json!("nothing has changed")));
    admin.balancer.write_config(r#"{ "workers": -1 }"#);
    let answer = admin.post("/reload");
    assert_eq!((answer.status, answer.header("x-lb-reason")), (422, Some("not_reloaded")));
    assert!(answer.text().contains("workers"), "{}", answer.text());
}

#[test]
fn nonsense_is_refused_with_what_would_be_right() {
    let backend = Backend::named("a");
    let admin = Admin::on_loopback(&[&backend]);
    let url = backend.url();
    for (method, path, status) in [
        ("POST", "/backends/drain".to_owned(), 400),
        ("POST", "/backends/drain?url=http://nobody".to_owned(), 404),
        ("POST", format!("/backends/weight?url={url}"), 400),
        ("POST", format!("/backends/weight?url={url}&weight=-1"), 400),
        ("POST", format!("/backends/weight?url={url}&weight=70000"), 400),
        ("POST", format!("/backends/drain?url={url}&pool=none"), 404),
        ("GET", "/".to_owned(), 404),
    ] {
        let answer = admin.ask(method, &path, &[]);
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.header("x-lb-reason").is_some());
    }
    for (method, path, allowed) in [
        ("GET", format!("/backends/drain?url={url}"), "POST"),
        ("PUT", format!("/backends/drain?url={url}"), "POST"),
        ("GET", "/reload".to_owned(), "POST"),
        ("DELETE", "/backends".to_owned(), "GET, HEAD"),
        ("POST", "/explain".to_owned(), "GET, HEAD"),
    ] {
        let answer = admin.ask(method, &path, &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
    assert_eq!(admin.balancer.states(), ["healthy"]);
}

#[test]
fn pages_from_elsewhere_and_rebound_names_are_refused() {
    let backend = Backend::named("a");
    let admin = Admin::on_loopback(&[&backend]);
    let own = format!("http://127.0.0.1:{}", admin.address.port());
    let path = format!("/backends/disable?url={}", backend.url());
    for fields in [
        &[("Origin", "http://evil.example")][..],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Host", "evil.example")],
        &[("Host", "evil.example"), ("Origin", "http://evil.example")],
    ] {
        assert_eq!(admin.ask("POST", &path, fields).status, 403, "{fields:?}");
        assert_eq!(admin.ask("GET", "/backends", fields).status, 403, "{fields:?}");
    }
    assert_eq!(admin.balancer.states(), ["healthy"]);
    for fields in
        [&[("Origin", own.as_str())][..], &[("Sec-Fetch-Site", "same-origin")], &[("Host", "localhost:1")]]
    {
        assert_eq!(admin.ask("GET", "/backends", fields).status, 200, "{fields:?}");
    }
}

#[test]
fn with_a_token_nothing_is_said_without_it() {
    let backend = Backend::named("a");
    let admin = Admin::start(&[&backend], json!({ "listen": "127.0.0.1:0", "token": "s3cret" }));
    for fields in [&[][..], &[("Authorization", "Bearer s3cre")], &[("Authorization", "Digest s3cret")]] {
        for path in ["/backends", "/lb-metrics", "/nothing"] {
            let answer = admin.ask("GET", path, fields);
            assert_eq!((answer.status, answer.all("www-authenticate").pop()), (401, Some("Bearer")));
        }
    }
    let token = [("Authorization", "Bearer s3cret"), ("Host", "lb.example")];
    assert_eq!(admin.ask("GET", "/backends", &token).status, 200);
    assert!(
        admin
            .balancer
            .log_lines()
            .iter()
            .chain(&admin.balancer.access_lines())
            .all(|line| !line.contains("s3cret"))
    );
}

#[test]
fn the_main_listener_has_none_of_it() {
    let backend = Backend::named("a");
    let admin = Admin::on_loopback(&[&backend]);
    assert_eq!(admin.balancer.get("/backends").text(), "a", "it is passed on");
    assert_eq!(admin.balancer.ask("POST", "/reload", &[], b"").text(), "a");
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_here_too() {
    let backend = Backend::named("a");
    let admin = Admin::on_loopback(&[&backend]);
    let refused = |fields: &[(&str, &str)], status: u16, reason: &str| {
        let answer = admin.ask("POST", "/backends/drain?url=http://x", fields);
        assert_eq!((answer.status, answer.header("x-lb-reason")), (status, Some(reason)), "{fields:?}");
        // What follows could be anything where the end of a request is in doubt.
        assert!(status != 400 || answer.header("connection") == Some("close"), "{fields:?}");
    };
    refused(&[("Content-Length", "4"), ("Transfer-Encoding", "chunked")], 400, "ambiguous_framing");
    refused(&[("Transfer-Encoding", "gzip, chunked")], 400, "ambiguous_framing");
    refused(&[("Host", "localhost"), ("Host", "localhost")], 400, "bad_host");
    let long = "x".repeat(40_000);
    refused(&[("X-Long", &long)], 431, "head_too_large");
}
