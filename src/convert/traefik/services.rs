//! Converts services into pools.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::walk::{Part, differs, ignored, not_here, same, told};
use crate::convert::draft::{Draft, Object, push, put};
use crate::convert::quantity::{time, written};
use crate::convert::report::{Remark, Report};
use crate::convert::tree::Node;

/// A converted service.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// The service's pools with their shares.
    pub pools: Vec<(String, u64)>,
    /// The fields that routes to it get.
    pub route: Object,
}

/// Reads all services by name.
pub fn read(part: &Part<'_>, draft: &mut Draft, report: &mut Report) -> HashMap<String, Service> {
    let mut all: HashMap<String, Service> = HashMap::new();
    let mut weighted: Vec<(String, Vec<(String, u64)>)> = Vec::new();
    for (name, service) in part.entries() {
        let mut made = Service::default();
        service.each(report, |kind, part, report| match kind.to_ascii_lowercase().as_str() {
            "loadbalancer" => {
                let pool = load_balancer(part, &mut made.route, report);
                made.pools.push((draft.pool(name, pool), 1));
                told()
            }
            "weighted" => {
                let share = |node: &Node| {
                    let weight = node.get("weight").and_then(|it| it.text().parse().ok()).unwrap_or(1);
                    (node.get("name").map_or("", Node::text).to_owned(), weight)
                };
                let list = part
                    .node
                    .get("services")
                    .map_or_else(Vec::new, |it| it.items().iter().map(share).collect());
                weighted.push((name.to_owned(), list));
                differs("a client stays with its side")
            }
            "mirroring" => not_here("a request goes to one backend"),
            "failover" => not_here("one pool, with `backup` at the backends of the fallback"),
            _ => None,
        });
        all.insert(name.to_owned(), made);
    }
    for (name, shares) in weighted {
        let mut made = Service::default();
        for (part, share) in shares {
            if let Some(service) = all.get(part.split('@').next().unwrap_or_default()) {
                for (pool, _) in &service.pools {
                    // Once each: with services that name one another twice, a list doubles at each step.
                    match made.pools.iter_mut().find(|(known, _)| known == pool) {
                        Some((_, there)) => *there = there.saturating_add(share),
                        None => made.pools.push((pool.clone(), share)),
                    }
                }
                made.route.extend(service.route.clone());
            }
        }
        all.insert(name, made);
    }
    all
}

fn load_balancer(part: &Part<'_>, route: &mut Object, report: &mut Report) -> Object {
    let mut pool = Object::new();
    put(&mut pool, "backends", json!([]));
    put(&mut pool, "health_check", json!({ "type": "tcp" }));
    part.each(report, |name, part, report| match name.to_ascii_lowercase().as_str() {
        "servers" => {
            for server in part.node.items() {
                let mut backend = Object::new();
                let url = server.get("url").map_or("", Node::text);
                put(&mut backend, "url", origin(url));
                if let Some(weight) = server.get("weight").and_then(|it| it.text().parse::<u64>().ok()) {
                    put(&mut backend, "weight", weight.min(65_535));
                }
                push(&mut pool, "backends", Json::Object(backend));
            }
            same()
        }
        "healthcheck" => {
            let check = health_check(part, report);
            put(&mut pool, "health_check", check);
            told()
        }
        "passhostheader" => {
            if part.node.text() == "false" {
                put(route, "host_header", "backend");
            }
            same()
        }
        "sticky" => match part.node.at("cookie.name").map(Node::text) {
            Some(name) if !name.is_empty() => {
                put(&mut pool, "sticky_cookie", name);
                differs("other values, so that each client gets a new one once")
            }
            _ => {
                put(&mut pool, "sticky_cookie", "lb");
                differs("a cookie with a name of its own: lb")
            }
        },
        "strategy" => match part.node.text() {
            "wrr" => same(),
            "p2c" => {
                put(&mut pool, "algorithm", "power_of_two");
                same()
            }
            "hrw" => {
                put(&mut pool, "algorithm", "consistent_hash");
                differs("clients may be given other backends than before")
            }
            "leasttime" => {
                put(&mut pool, "algorithm", "power_of_two");
                differs("of two random ones the one with less load and latency")
            }
            _ => None,
        },
        "responseforwarding" => ignored("each piece is passed on as it comes"),
        "passivehealthcheck" => differs("circuit_breaker, by failures"),
        "serverstransport" => not_here("timeouts are on top, and `ca` is a backend's"),
        _ => None,
    });
    pool
}

fn health_check(part: &Part<'_>, report: &mut Report) -> Object {
    let mut check = Object::new();
    put(&mut check, "type", "http");
    put(&mut check, "interval", "30s");
    put(&mut check, "timeout", "5s");
    put(&mut check, "healthy_threshold", 1);
    put(&mut check, "unhealthy_threshold", 1);
    part.each(report, |name, part, _| -> Option<Remark> {
        let text = part.node.text();
        match name.to_ascii_lowercase().as_str() {
            "path" => put(&mut check, "path", text),
            "interval" | "timeout" => put(&mut check, name, written(time(text, 1e3)?)),
            "port" => put(&mut check, "port", text.parse::<u16>().ok()?),
            "hostname" => put(&mut check, "host", text),
            "status" => put(&mut check, "expect_status", text),
            "method" if text == "GET" => {}
            "method" => return differs("GET"),
            "mode" if text == "http" => {}
            "followredirects" => return differs("a redirect passes, and is not followed"),
            "unhealthyinterval" => return differs("interval"),
            "scheme" | "headers" | "mode" => return not_here("a probe is a GET to the backend itself"),
            _ => return None,
        }
        same()
    });
    check
}

/// Scheme, host and port of a URL; Traefik ignores the rest, too.
fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let scheme = if scheme == "h2c" { "http" } else { scheme };
    format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default())
}
