//! Which route is for a request: the most specific one, whatever its place in the list.

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, config};

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
