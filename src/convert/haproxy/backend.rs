//! Converts `backend` sections into pools.

use serde_json::json;

use super::syntax::Line;
use crate::convert::draft::{Object, put};
use crate::convert::guard::Guard;
use crate::convert::quantity::{time, written};
use crate::convert::report::{Remark, Report, Verdict};

/// A pool under construction.
#[derive(Debug, Clone, Default)]
pub struct Backend {
    /// The backend's name.
    pub name: String,
    /// The pool's fields except probes and servers.
    pub fields: Object,
    pub(super) servers: Vec<Object>,
    /// Words of `default-server`.
    pub(super) default_server: Vec<String>,
    pub(super) check: Object,
    pub(super) is_checked: bool,
    is_http_check: bool,
    consistent: bool,
    source: bool,
    /// The restrictions by its rules.
    pub guards: Vec<Guard>,
}

impl Backend {
    /// An empty backend with this name.
    pub fn named(name: &str) -> Backend {
        Backend { name: name.to_owned(), ..Backend::default() }
    }

    /// Whether it has any servers.
    pub fn has_servers(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The finished pool.
    pub fn pool(&self, report: &mut Report) -> Object {
        let mut pool = Object::new();
        put(&mut pool, "backends", self.servers.clone());
        pool.extend(self.fields.clone());
        if self.source {
            put(&mut pool, "algorithm", if self.consistent { "consistent_hash" } else { "ip_hash" });
        }
        let mut check = self.check.clone();
        put(&mut check, "type", if self.is_http_check { "http" } else { "tcp" });
        if self.is_checked {
            for (field, value) in [
                ("interval", json!("2s")),
                ("healthy_threshold", json!(2)),
                ("unhealthy_threshold", json!(3)),
            ] {
                check.entry(field).or_insert(value);
            }
        } else {
            let name = format!("backend {}: no `check`", self.name);
            report.unsaid(
                &name,
                Verdict::Differs,
                "backends are probed: a connection that opens (health_check.type tcp)",
            );
        }
        put(&mut pool, "health_check", check);
        pool
    }

    /// Converts a line on servers, probes or balancing; `None` for other lines.
    pub fn line(&mut self, line: &Line) -> Option<Remark> {
        let same = || Some((Verdict::Same, String::new()));
        match (line.word(0), line.word(1)) {
            ("balance", _) => Some(self.balance(&line.words)),
            ("hash-type", kind) => {
                self.consistent = kind == "consistent";
                same()
            }
            ("server", _) => Some(self.server(&line.words, line.word(2), "one")),
            ("server-template", _) => {
                let kind = if line.word(3).starts_with('_') { "srv" } else { "each" };
                Some(self.server(&line.words[1..], line.word(3), kind))
            }
            ("default-server", _) => {
                self.default_server = line.words[1..].to_vec();
                same()
            }
            ("cookie", name) => {
                put(&mut self.fields, "sticky_cookie", name);
                let is_insert = line.words.iter().any(|word| word == "insert");
                match is_insert {
                    true => Some((
                        Verdict::Differs,
                        "other values, so that each client gets a new one once".to_owned(),
                    )),
                    false => Some((Verdict::NotHere, "the cookie is the balancer's own (insert)".to_owned())),
                }
            }
            ("option", "httpchk") => Some(self.httpchk(&line.words[2..])),
            ("http-check", _) => Some(self.http_check(&line.words[1..])),
            ("timeout", "check") => self.set_time("timeout", line.word(2)),
            ("timeout", "server") => {
                put(&mut self.fields, "timeouts.request", written(time(line.word(2), 1.0)?));
                same()
            }
            ("retries", number) => {
                let number: u64 = number.parse().ok()?;
                put(&mut self.fields, "retry.max_retries", number.min(10));
                same()
            }
            ("retry-on", _) => {
                let statuses: Vec<u16> = line.words.iter().filter_map(|word| word.parse().ok()).collect();
                put(&mut self.fields, "retry.on_status", statuses);
                Some((Verdict::Differs, "never a POST that was sent".to_owned()))
            }
            _ => None,
        }
    }

    pub(super) fn set_time(&mut self, field: &str, text: &str) -> Option<Remark> {
        put(&mut self.check, field, written(time(text, 1.0)?));
        Some((Verdict::Same, String::new()))
    }

    fn balance(&mut self, words: &[String]) -> Remark {
        const OTHERS: &str = "clients may be given other backends than before";
        let how = words.get(1).map_or("", String::as_str);
        let (name, argument) =
            how.split_once('(').map_or((how, ""), |(name, rest)| (name, rest.trim_end_matches(')')));
        let (algorithm, verdict, note) = match name {
            "roundrobin" | "static-rr" => ("round_robin", Verdict::Same, ""),
            "leastconn" => ("least_conn", Verdict::Same, ""),
            "random" => ("power_of_two", Verdict::Differs, "by load and latency"),
            "first" => {
                ("round_robin", Verdict::Differs, "all share; make all but the first `backup` for the same")
            }
            "source" => {
                self.source = true;
                ("ip_hash", Verdict::Differs, OTHERS)
            }
            "uri" => {
                put(&mut self.fields, "hash_key", "path");
                ("consistent_hash", Verdict::Differs, OTHERS)
            }
            "hdr" => {
                put(&mut self.fields, "hash_key", format!("header:{argument}"));
                ("consistent_hash", Verdict::Differs, OTHERS)
            }
            _ => ("round_robin", Verdict::NotHere, "hash_key is the client, the path, a field or a cookie"),
        };
        put(&mut self.fields, "algorithm", algorithm);
        (verdict, note.to_owned())
    }

    fn httpchk(&mut self, words: &[String]) -> Remark {
        self.is_http_check = true;
        let (method, uri) = match words {
            [] => ("OPTIONS", "/"),
            [uri] => ("OPTIONS", uri.as_str()),
            [method, uri, ..] => (method.as_str(), uri.as_str()),
        };
        put(&mut self.check, "path", uri);
        match method {
            "GET" => (Verdict::Same, String::new()),
            _ => (Verdict::Differs, format!("GET {uri} instead of {method}")),
        }
    }

    fn http_check(&mut self, words: &[String]) -> Remark {
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        match (word(0), word(1)) {
            ("expect", "status") => put(&mut self.check, "expect_status", word(2).replace(' ', ",")),
            ("expect", "string") => put(&mut self.check, "expect_body", word(2)),
            ("send", _) => {
                let mut rest = words[1..].iter();
                while let Some(word) = rest.next() {
                    match word.as_str() {
                        "uri" => put(&mut self.check, "path", rest.next().map_or("/", String::as_str)),
                        "hdr" if rest.next().is_some_and(|name| name.eq_ignore_ascii_case("host")) => {
                            put(&mut self.check, "host", rest.next().map_or("", String::as_str));
                        }
                        _ => {}
                    }
                }
                self.is_http_check = true;
                return (Verdict::Differs, "a GET with Host".to_owned());
            }
            _ => return (Verdict::NotHere, "a probe is one GET, a status and a text".to_owned()),
        }
        (Verdict::Same, String::new())
    }
}
