//! `backend` sections as pools.

use serde_json::json;

use super::syntax::Line;
use crate::convert::draft::{Object, push, put};
use crate::convert::quantity::{time, written};
use crate::convert::report::{Report, Verdict};

type Told = (Verdict, String);

/// A pool while its lines are read.
#[derive(Debug, Clone, Default)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// The pool but for its probes and servers.
    pub fields: Object,
    servers: Vec<Object>,
    /// Words of `default-server`.
    default_server: Vec<String>,
    check: Object,
    is_checked: bool,
    is_http_check: bool,
    consistent: bool,
    source: bool,
    /// What its rules say of routes that lead here.
    pub route: Object,
}

impl Backend {
    /// One of this name.
    pub fn named(name: &str) -> Backend {
        Backend { name: name.to_owned(), ..Backend::default() }
    }

    /// Whether it has anybody to ask.
    pub fn has_servers(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The pool.
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

    /// Takes what a line says of servers, probes and the choice among them.
    pub fn line(&mut self, line: &Line) -> Option<Told> {
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

    fn set_time(&mut self, field: &str, text: &str) -> Option<Told> {
        put(&mut self.check, field, written(time(text, 1.0)?));
        Some((Verdict::Same, String::new()))
    }

    fn balance(&mut self, words: &[String]) -> Told {
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

    fn httpchk(&mut self, words: &[String]) -> Told {
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

    fn http_check(&mut self, words: &[String]) -> Told {
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

    /// `server NAME ADDRESS PARAMETERS…`.
    fn server(&mut self, words: &[String], address: &str, addresses: &str) -> Told {
        let mut server = Object::new();
        let mut notes: Vec<String> = Vec::new();
        let mut verdict = Verdict::Same;
        let own = words.get(3..).unwrap_or_default();
        let all: Vec<String> = self.default_server.iter().chain(own).cloned().collect();
        let mut is_secure = false;
        let mut words = all.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let number = words.peek().and_then(|word| word.parse::<u64>().ok());
            let after = words.peek().copied().unwrap_or_default();
            let takes_one = match word {
                "weight" => {
                    number.map(|weight| put(&mut server, "weight", weight.min(256)));
                    true
                }
                "maxconn" => {
                    number.filter(|most| *most > 0).map(|most| put(&mut server, "max_connections", most));
                    true
                }
                "backup" => {
                    put(&mut server, "backup", true);
                    false
                }
                "check" => {
                    self.is_checked = true;
                    false
                }
                "no-check" => false,
                "disabled" => {
                    put(&mut server, "weight", 0);
                    false
                }
                "inter" => self.set_time("interval", after).is_some(),
                "fall" => {
                    number.map(|times| put(&mut self.check, "unhealthy_threshold", times));
                    true
                }
                "rise" => {
                    number.map(|times| put(&mut self.check, "healthy_threshold", times));
                    true
                }
                "port" => {
                    number.map(|port| put(&mut self.check, "port", port));
                    true
                }
                "ssl" => {
                    is_secure = true;
                    false
                }
                "ca-file" => {
                    if !after.starts_with('@') {
                        put(&mut server, "ca", after);
                    }
                    true
                }
                "verify" => {
                    if after == "none" {
                        verdict = Verdict::Differs;
                        notes.push("certificates are always checked; `ca` has own roots".to_owned());
                    }
                    true
                }
                "cookie" | "id" | "fastinter" | "downinter" | "resolvers" | "resolve-prefer"
                | "init-addr" | "observe" | "on-error" | "error-limit" | "on-marked-down"
                | "on-marked-up" | "alpn" | "pool-max-conn" | "pool-purge-delay" | "maxqueue" | "minconn"
                | "check-sni" | "track" | "slowstart" | "sni" | "verifyhost" | "ws" | "proto"
                | "max-reuse" | "ciphers" | "ssl-min-ver" | "ssl-max-ver" | "pool-low-conn" | "log-proto"
                | "resolve-opts" | "resolve-net" => {
                    if matches!(word, "slowstart" | "track" | "minconn" | "maxqueue" | "sni" | "verifyhost") {
                        verdict = verdict.max(Verdict::Differs);
                        notes.push(match word {
                            "slowstart" => "`slow_start` is for all pools, on top".to_owned(),
                            "sni" | "verifyhost" => "TLS goes by the URL's host".to_owned(),
                            other => format!("without {other}"),
                        });
                    }
                    true
                }
                "send-proxy" | "send-proxy-v2" | "crt" | "source" | "socks4" | "usesrc" => {
                    verdict = Verdict::NotHere;
                    notes.push(format!("{word} can't be said here"));
                    matches!(word, "crt" | "source" | "socks4")
                }
                "check-ssl" | "no-tls-tickets" | "no-sslv3" | "no-ssl-reuse" | "force-tlsv12"
                | "no-tlsv10" | "allow-0rtt" | "tfo" | "check-via-socks4" | "non-stick" | "enabled"
                | "inherited" => false,
                other => {
                    verdict = Verdict::NotHere;
                    notes.push(format!("{other} is not known here"));
                    false
                }
            };
            if takes_one {
                words.next();
            }
        }
        let (url, note) = url(address, is_secure);
        if let Some(note) = note {
            verdict = verdict.max(Verdict::Differs);
            notes.push(note.to_owned());
        }
        if addresses != "one" {
            put(&mut server, "addresses", addresses);
        }
        let mut whole = Object::new();
        put(&mut whole, "url", url.as_str());
        whole.extend(server);
        match self.servers.iter().any(|known| known.get("url") == Some(&json!(url))) {
            true => notes.push("the same address again: one backend".to_owned()),
            false => self.servers.push(whole),
        }
        (verdict, notes.join("; "))
    }

    /// Only these networks, or all but these.
    pub fn access(&mut self, which: &str, networks: &[String]) {
        networks.iter().for_each(|network| push(&mut self.route, which, network.as_str()));
    }
}

/// HAProxy takes the port that the client has connected to where none is said.
fn url(address: &str, is_secure: bool) -> (String, Option<&'static str>) {
    let scheme = if is_secure { "https" } else { "http" };
    let bare = ["ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@"]
        .iter()
        .fold(address, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    if let Some(socket) = bare.strip_prefix("unix@").or_else(|| bare.starts_with('/').then_some(bare)) {
        return (format!("unix:{socket}"), None);
    }
    if bare.starts_with('_') {
        return (format!("{scheme}://{}", bare.split(':').next().unwrap_or_default()), None);
    }
    let is_v6 = bare.matches(':').count() > 1 && !bare.starts_with('[');
    match (is_v6, bare.rsplit_once(':')) {
        (true, Some((host, port))) => (format!("{scheme}://[{host}]:{port}"), None),
        (false, Some((_, port))) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => {
            (format!("{scheme}://{bare}"), None)
        }
        _ => (format!("{scheme}://{bare}"), Some("without a port it is the scheme's, not the client's")),
    }
}
