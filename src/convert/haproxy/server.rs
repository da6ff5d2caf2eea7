//! Converts `server` lines into backends of a pool.

use serde_json::json;

use super::backend::Backend;
use crate::convert::draft::{Object, put};
use crate::convert::report::Verdict;

/// Parameters with one argument that concern HAProxy's internals or its own probes.
const IGNORED_WITH_ONE: [&str; 28] = [
    "cookie",
    "id",
    "guid",
    "fastinter",
    "downinter",
    "resolvers",
    "resolve-prefer",
    "resolve-opts",
    "resolve-net",
    "init-addr",
    "init-state",
    "observe",
    "on-error",
    "error-limit",
    "on-marked-down",
    "on-marked-up",
    "alpn",
    "check-sni",
    "pool-max-conn",
    "pool-low-conn",
    "pool-purge-delay",
    "ws",
    "proto",
    "max-reuse",
    "ciphers",
    "ssl-min-ver",
    "ssl-max-ver",
    "log-proto",
];
/// Such parameters without an argument.
const IGNORED_ALONE: [&str; 13] = [
    "no-check",
    "check-ssl",
    "no-tls-tickets",
    "no-sslv3",
    "no-tlsv10",
    "no-tlsv11",
    "no-ssl-reuse",
    "force-tlsv12",
    "allow-0rtt",
    "tfo",
    "non-stick",
    "enabled",
    "inherited",
];

/// The state of converting one line.
#[derive(Default)]
struct Server {
    fields: Object,
    is_secure: bool,
    notes: Vec<String>,
    verdict: Option<Verdict>,
}

impl Server {
    fn note(&mut self, verdict: Verdict, note: &str) {
        self.verdict = self.verdict.max(Some(verdict));
        self.notes.push(note.to_owned());
    }
}

impl Backend {
    /// Converts `server NAME ADDRESS PARAMETERS…`.
    pub(super) fn server(&mut self, words: &[String], address: &str, addresses: &str) -> (Verdict, String) {
        let own = words.get(3..).unwrap_or_default();
        let all: Vec<String> = self.default_server.iter().chain(own).cloned().collect();
        let mut server = Server::default();
        let mut words = all.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let value = words.peek().copied().unwrap_or_default();
            if self.word(word, value, &mut server) {
                words.next();
            }
        }
        let (url, note) = url(address, server.is_secure);
        if let Some(note) = note {
            server.note(Verdict::Differs, note);
        }
        if addresses != "one" {
            put(&mut server.fields, "addresses", addresses);
        }
        let mut whole = Object::new();
        put(&mut whole, "url", url.as_str());
        whole.append(&mut server.fields);
        match self.servers.iter().any(|known| known.get("url") == Some(&json!(url))) {
            true => server.note(Verdict::Same, "the same address again: one backend"),
            false => self.servers.push(whole),
        }
        (server.verdict.unwrap_or(Verdict::Same), server.notes.join("; "))
    }

    /// Converts one parameter; returns whether the next word is its argument.
    fn word(&mut self, word: &str, value: &str, server: &mut Server) -> bool {
        if let Some(field) =
            [("fall", "unhealthy_threshold"), ("rise", "healthy_threshold"), ("port", "port")]
                .iter()
                .find_map(|(name, field)| (*name == word).then_some(*field))
        {
            match value.parse::<u64>() {
                Ok(number) => put(&mut self.check, field, number),
                Err(_) => server.note(Verdict::NotHere, "a number was not understood"),
            }
            return true;
        }
        match word {
            "weight" | "maxconn" => {
                let number = value.parse::<u64>().unwrap_or(0);
                match (word, number) {
                    ("weight", number) => put(&mut server.fields, "weight", number.min(256)),
                    (_, 0) => {}
                    (_, most) => put(&mut server.fields, "max_connections", most),
                }
                true
            }
            "inter" => {
                if self.set_time("interval", value).is_none() {
                    server.note(Verdict::NotHere, "a time was not understood");
                }
                true
            }
            "backup" => {
                put(&mut server.fields, "backup", true);
                false
            }
            "disabled" => {
                put(&mut server.fields, "weight", 0);
                false
            }
            "check" => {
                self.is_checked = true;
                false
            }
            "ssl" => {
                server.is_secure = true;
                false
            }
            "ca-file" => {
                if !value.starts_with('@') {
                    put(&mut server.fields, "ca", value);
                }
                true
            }
            "verify" => {
                if value == "none" {
                    server.note(Verdict::Differs, "certificates are always checked; `ca` has own roots");
                }
                true
            }
            "slowstart" => {
                server.note(Verdict::Differs, "`slow_start` is for all pools, on top");
                true
            }
            "sni" | "verifyhost" => {
                server.note(Verdict::Differs, "TLS goes by the URL's host");
                true
            }
            "track" | "minconn" | "maxqueue" => {
                server.note(Verdict::Differs, &format!("without {word}"));
                true
            }
            "send-proxy" | "send-proxy-v2" | "crt" | "source" | "socks4" | "usesrc" => {
                server.note(Verdict::NotHere, &format!("{word} can't be said here"));
                matches!(word, "crt" | "source" | "socks4" | "usesrc")
            }
            word if IGNORED_WITH_ONE.contains(&word) => true,
            word if IGNORED_ALONE.contains(&word) => false,
            other => {
                server.note(Verdict::NotHere, &format!("{other} is not known here"));
                false
            }
        }
    }
}

/// The URL of a server. Without a port, HAProxy uses the port that the client has connected to.
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
