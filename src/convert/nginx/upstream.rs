//! Converts `upstream` blocks into pools.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::values::hash_key;
use crate::convert::directive::Directive;
use crate::convert::draft::{Object, put};
use crate::convert::quantity::{time, written};
use crate::convert::report::{Report, Verdict};

/// One upstream block.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The upstream's name.
    pub name: String,
    /// The pool's fields except its backends.
    fields: Object,
    /// The servers' addresses with their other fields.
    servers: Vec<(String, Object)>,
}

impl Upstream {
    /// An upstream for a single address in `proxy_pass`.
    pub fn of_address(address: &str) -> Upstream {
        let mut upstream = Upstream { name: address.to_owned(), fields: Object::new(), servers: Vec::new() };
        upstream.servers.push((address.to_owned(), Object::new()));
        upstream.finish(&[]);
        upstream
    }

    /// Reads the block.
    pub fn read(block: &Directive, report: &mut Report) -> Upstream {
        let mut upstream =
            Upstream { name: block.arg(0).to_owned(), fields: Object::new(), servers: Vec::new() };
        report.note(&block.place, &block.text(), Verdict::Same, "");
        let mut fails = Vec::new();
        for directive in block.inside() {
            let (verdict, note) = match directive.name.as_str() {
                "server" => upstream.server(directive, &mut fails),
                _ => upstream.method(directive),
            };
            report.note(&directive.place, &directive.text(), verdict, note);
        }
        upstream.finish(&fails);
        upstream
    }

    /// Number of servers.
    pub fn size(&self) -> usize {
        self.servers.len()
    }

    /// The pool, with its servers accessed by this scheme.
    pub fn pool(&self, scheme: &str, ca: Option<&str>) -> Object {
        let backend = |(address, more): &(String, Object)| {
            let mut backend = Object::new();
            put(&mut backend, "url", url(scheme, address));
            if let Some(ca) = ca.filter(|_| scheme == "https") {
                put(&mut backend, "ca", ca);
            }
            backend.extend(more.clone());
            Json::Object(backend)
        };
        let mut pool = Object::new();
        put(&mut pool, "backends", self.servers.iter().map(backend).collect::<Vec<_>>());
        pool.extend(self.fields.clone());
        pool
    }

    fn server(&mut self, directive: &Directive, fails: &mut Vec<(u64, Duration)>) -> (Verdict, String) {
        let mut more = Object::new();
        let mut notes = Vec::new();
        let mut fail = (1, Duration::from_secs(10));
        let mut verdict = Verdict::Same;
        for arg in directive.args.iter().skip(1) {
            let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
            match (name, value.parse::<u64>().ok()) {
                ("weight", Some(weight)) => put(&mut more, "weight", weight.min(65_535)),
                ("max_conns", Some(most)) if most > 0 => put(&mut more, "max_connections", most),
                ("max_conns", _) => {}
                ("max_fails", Some(most)) => fail.0 = most,
                ("fail_timeout", _) => fail.1 = time(value, 1e3).unwrap_or(fail.1),
                ("backup", _) => put(&mut more, "backup", true),
                ("down", _) => {
                    put(&mut more, "weight", 0);
                    notes.push("`down` is a weight of 0".to_owned());
                }
                ("resolve", _) => put(&mut more, "addresses", "each"),
                ("service", _) => {
                    put(&mut more, "addresses", "srv");
                    notes.push("write the service into the url: http://_http._tcp.NAME".to_owned());
                    verdict = Verdict::Differs;
                }
                _ => {
                    notes.push(format!("{name} can't be said here"));
                    verdict = Verdict::NotHere;
                }
            }
        }
        fails.push(fail);
        let address = directive.arg(0).to_owned();
        match self.servers.iter_mut().find(|(known, _)| *known == address) {
            Some((_, known)) => {
                let weight = |of: &Object| of.get("weight").and_then(Json::as_u64).unwrap_or(1);
                let sum = weight(known) + weight(&more);
                put(known, "weight", sum);
                notes.push("the same server again: one backend, with the weights added".to_owned());
            }
            None => self.servers.push((address, more)),
        }
        (verdict, notes.join("; "))
    }

    fn method(&mut self, directive: &Directive) -> (Verdict, String) {
        const OTHERS: &str = "clients may be given other backends than before";
        let mut algorithm = |name: &str| put(&mut self.fields, "algorithm", name);
        let (verdict, note) = match directive.name.as_str() {
            "least_conn" => {
                algorithm("least_conn");
                (Verdict::Same, "")
            }
            "least_time" => {
                algorithm("power_of_two");
                (Verdict::Differs, "of two random ones the one with less load and latency")
            }
            "random" => {
                algorithm("power_of_two");
                (Verdict::Differs, "of two random ones the one with less load and latency")
            }
            "ip_hash" => {
                algorithm("ip_hash");
                (Verdict::Differs, OTHERS)
            }
            "hash" => match hash_key(directive.arg(0)) {
                Some(key) => {
                    algorithm("consistent_hash");
                    put(&mut self.fields, "hash_key", key);
                    (Verdict::Differs, OTHERS)
                }
                None => (Verdict::NotHere, "hash_key is the client, the path, a field or a cookie"),
            },
            "sticky" if directive.arg(0) == "cookie" && !directive.arg(1).is_empty() => {
                put(&mut self.fields, "sticky_cookie", directive.arg(1));
                (Verdict::Differs, "other values, so that each client gets a new one once")
            }
            "keepalive" => {
                (Verdict::Ignored, "connections are kept anyway: limits.max_idle_per_backend, for all")
            }
            "keepalive_timeout" | "keepalive_requests" | "keepalive_time" => {
                (Verdict::Ignored, "timeouts.backend_idle, and what a backend shows of its own")
            }
            "zone" | "queue" => (Verdict::Ignored, "there is one process; waiting is timeouts.queue"),
            "resolver" | "resolver_timeout" => (Verdict::Ignored, "dns.servers, on top"),
            _ => (Verdict::NotHere, "can't be said here"),
        };
        (verdict, note.to_owned())
    }

    /// Adds the health check and the breaker: nginx has no probes and takes a server out after `max_fails`.
    fn finish(&mut self, fails: &[(u64, Duration)]) {
        put(&mut self.fields, "health_check", json!({ "type": "tcp" }));
        let (most, window) = fails.iter().copied().max().unwrap_or((1, Duration::from_secs(10)));
        match most {
            0 => put(&mut self.fields, "circuit_breaker", json!({ "enabled": false })),
            most => put(
                &mut self.fields,
                "circuit_breaker",
                json!({ "failures": most.min(1000), "window": written(window), "cooldown": written(window) }),
            ),
        }
    }
}

/// The URL of a server; nginx's default port is 80 for any scheme.
fn url(scheme: &str, address: &str) -> String {
    if address.starts_with("unix:") {
        return address.trim_end_matches(':').to_owned();
    }
    let port = address.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|it| it.is_ascii_digit()));
    let has_port = port && !address.ends_with(']');
    match (scheme, has_port) {
        ("https", false) => format!("https://{address}:80"),
        _ => format!("{scheme}://{address}"),
    }
}
