//! Which route is for a request: the most specific one, whatever its place in the list.

use serde_json::{Value, json};

use crate::support::{Admin, Backend, Balancer, config, eventually};

/// Each route with its pool, whose only backend answers with the pool's name.
fn routes() -> [(&'static str, Value); 8] {
    [
        ("path", json!({ "path": "/v1" })),
        ("longer-path", json!({ "path": "/v1/admin" })),
        ("wild", json!({ "host": "*.example.com" })),
        ("wild-path", json!({ "host": "*.example.com", "path": "/v1" })),
        ("longer-wild", json!({ "host": "*.eu.example.com" })),
        ("longer-wild-path", json!({ "host": "*.eu.example.com", "path": "/v1/admin" })),
        ("exact", json!({ "host": "w.eu.example.com" })),
        ("exact-path", json!({ "host": "w.eu.example.com", "path": "/v1/x" })),
    ]
}

const EXPECTED: [(&str, &str, &str); 15] = [
    ("x.org", "/", "default"),
    ("x.org", "/v1", "path"),
    ("x.org", "/v1/administrator", "path"),
    ("x.org", "/v1/admin", "longer-path"),
    ("x.org", "/v1/admin/users?a=/", "longer-path"),
    ("a.example.com", "/v2", "wild"),
    ("a.example.com", "/v1/admin", "wild-path"),
    ("eu.example.com", "/", "wild"),
    ("a.eu.example.com", "/", "longer-wild"),
    ("a.b.eu.example.com", "/v1", "longer-wild"),
    ("a.b.eu.example.com", "/v1/admin", "longer-wild-path"),
    ("w.eu.example.com", "/v1", "exact"),
    ("w.eu.example.com", "/v1/x/y", "exact-path"),
    // The host counts before the path.
    ("w.eu.example.com", "/v1/admin", "exact"),
    ("example.com", "/", "default"),
];

#[test]
fn the_most_specific_route_wins_whatever_its_place() {
    let default = Backend::named("default");
    let backends = routes().map(|(name, _)| Backend::named(name));
    let pools: serde_json::Map<String, Value> = routes()
        .iter()
        .zip(&backends)
        .map(|((name, _), backend)| ((*name).to_owned(), json!({ "backends": [{ "url": backend.url() }] })))
        .collect();
    let list = routes().map(|(name, mut route)| {
        route["pool"] = json!(name);
        route
    });
    // From the general to the special, the other way round, and cut in the middle.
    let mut reversed = list.clone();
    reversed.reverse();
    let mut rotated = list.clone();
    rotated.rotate_left(3);
    for order in [list, reversed, rotated] {
        let more = json!({ "pools": pools, "routes": order });
        let balancer = Balancer::start(config(&[&default], more));
        for (host, path, pool) in EXPECTED {
            let mut client = balancer.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(client.read_response().text(), pool, "{host}{path} with {order:?}");
        }
    }
}

#[test]
fn a_host_may_be_a_list_and_strangers_get_what_unmatched_says() {
    let api = Backend::named("api");
    for status in [404, 421] {
        let balancer = Balancer::start(config(
            &[],
            json!({
                "backends": [],
                "unmatched": status,
                "pools": { "api": { "backends": [{ "url": api.url() }] } },
                "routes": [{ "host": ["a.example", "*.b.example"], "path": "/v1", "pool": "api" }],
            }),
        ));
        let ask = |host: &str, path: &str| {
            let mut client = balancer.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            client.read_response()
        };
        for host in ["a.example", "A.example:80", "x.b.example"] {
            assert_eq!(ask(host, "/v1/x").text(), "api", "{host}");
        }
        for (host, path) in [("c.example", "/v1"), ("a.example", "/"), ("b.example", "/v1")] {
            let answer = ask(host, path);
            assert_eq!(
                (answer.status, answer.header("x-lb-reason")),
                (status, Some("no_route")),
                "{host}{path}"
            );
            assert!(answer.header("x-request-id").is_some());
        }
        let line = balancer.wait_for_access("/");
        assert!(line.contains("reason=no_route"), "{line}");
        let metrics = eventually("all are counted", || {
            let is_whole = |page: &Value| page["total_requests"] == 3 && page["reasons"]["no_route"] == 3;
            Some(balancer.metrics()).filter(is_whole)
        });
        assert_eq!(metrics["failed_requests"], 0);
        assert_eq!(metrics["total_backends"], 1);
        assert_eq!(balancer.get("/lb-health").status, 200, "our own pages need no route");
    }
}

#[test]
fn a_body_that_no_route_takes_is_refused_and_does_not_become_a_request() {
    let api = Backend::named("api");
    let balancer = Balancer::start(config(
        &[],
        json!({
            "unmatched": 404,
            "pools": { "api": { "backends": [{ "url": api.url() }] } },
            "routes": [{ "path": "/v1", "pool": "api" }],
        }),
    ));
    let mut client = balancer.connect();
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n");
    assert_eq!(client.read_response_to("POST").status, 404);
    client.send_if_open("GET /v1/a HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = client.try_read_to_close();
    assert_eq!(api.asked().len(), 0);
}

#[test]
fn unmatched_comes_and_goes_with_the_file_and_explain_tells_of_it() {
    let (api, web) = (Backend::named("api"), Backend::named("web"));
    let with = |unmatched: Value| {
        config(
            &[&web],
            json!({
                "admin": { "listen": "127.0.0.1:0" },
                "unmatched": unmatched,
                "pools": { "api": { "backends": [{ "url": api.url() }] } },
                "routes": [{ "path": "/v1", "pool": "api" }],
            }),
        )
    };
    let admin = Admin::over(with(json!("default")));
    assert_eq!(admin.balancer.get("/").text(), "web");
    admin.balancer.write_config(&with(json!(421)).to_string());
    admin.balancer.wait_for_log("unmatched default -> 421");
    let answer = admin.balancer.get("/");
    assert_eq!(answer.status, 421);
    let told =
        |query: &str| admin.ask("GET", &format!("/explain?{query}"), &[]).json()["sentence"].to_string();
    let forecast = told("client=192.0.2.1&path=/x");
    assert!(forecast.contains("would be answered 421") && forecast.contains("no_route"), "{forecast}");
    let id = answer.header("x-request-id").unwrap();
    let past =
        eventually("it is remembered", || Some(told(&format!("id={id}"))).filter(|it| it.contains("421")));
    assert!(past.contains("no_route"), "{past}");
}
