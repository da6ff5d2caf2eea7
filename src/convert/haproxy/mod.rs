//! haproxy.cfg: `defaults`, `frontend`, `backend` and `listen`.

mod backend;
mod conditions;
mod frontend;
mod syntax;
mod values;
mod words;

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use super::draft::{Draft, Object, put};
use super::listen::Listeners;
use super::order;
use super::report::{Report, Verdict};
use backend::Backend;
use conditions::Acls;
use frontend::Frontend;
use syntax::{Line, Section};

/// The release whose defaults are meant where nobody names one.
pub const RELEASE: &str = "2.6.12";

/// A `frontend`, `backend` or `listen` with what its `defaults` say.
struct Proxy<'a> {
    head: &'a Line,
    lines: Vec<&'a Line>,
}

impl Proxy<'_> {
    fn name(&self) -> &str {
        self.head.word(1)
    }

    fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.head.word(0))
    }

    fn mode_is_tcp(&self) -> bool {
        let mode = self.lines.iter().rev().find(|line| line.word(0) == "mode");
        mode.is_none_or(|line| line.word(1) == "tcp")
    }
}

/// Reads this text of this file.
///
/// # Errors
/// What can't be read, with its line.
pub fn convert(text: &str, file: &Path, report: &mut Report) -> Result<Draft, String> {
    let sections = syntax::read(text, &file.display().to_string())?;
    let mut draft = Draft::default();
    let mut listeners = Listeners::default();
    for section in &sections {
        others(section, &mut draft, report);
    }
    let proxies = proxies(&sections);
    let mut pools: HashMap<String, (String, Object)> = HashMap::new();
    for proxy in proxies.iter().filter(|proxy| proxy.is(&["backend", "listen"])) {
        if let Some((pool, route)) = backend(proxy, &mut draft, report) {
            pools.insert(proxy.name().to_owned(), (pool, route));
        }
    }
    for proxy in proxies.iter().filter(|proxy| proxy.is(&["frontend", "listen"])) {
        if proxy.mode_is_tcp() {
            report.note(&proxy.head.place, &proxy.head.text(), Verdict::NotHere, "HTTP only (`mode http`)");
            continue;
        }
        report.note(&proxy.head.place, &proxy.head.text(), Verdict::Same, "");
        frontend(proxy, &pools, &mut draft, &mut listeners, report);
    }
    order::compare(&draft.routes, report);
    let has_plain = listeners.has_plain();
    if !listeners.finish(&mut draft.top) {
        report.unsaid("crt", Verdict::NotHere, "a TLS listener without a certificate is left out");
    }
    if !has_plain && draft.top.contains_key("tls") {
        put(&mut draft.top, "listen", "127.0.0.1:8080");
        report.unsaid("no plain listener", Verdict::Differs, "there always is one: on 127.0.0.1:8080");
    }
    unsaid(&proxies, &mut draft, report);
    Ok(draft)
}

/// Sections that are no proxies.
fn others(section: &Section, draft: &mut Draft, report: &mut Report) {
    match section.head.word(0) {
        "global" => {
            for line in &section.lines {
                if !words::on_top(line, draft, report) {
                    words::note(line, report);
                }
            }
        }
        "defaults" | "frontend" | "backend" | "listen" => {}
        "resolvers" => {
            for line in &section.lines {
                let is_server = line.word(0) == "nameserver";
                if let (true, Some(dns)) =
                    (is_server, draft.top.entry("dns").or_insert_with(|| json!({})).as_object_mut())
                {
                    super::draft::push(dns, "servers", line.word(2).trim_start_matches("udp@"));
                }
                let verdict = if is_server { Verdict::Same } else { Verdict::Ignored };
                let note = if is_server {
                    ""
                } else {
                    "the records' own times to live; an answer that fails changes nothing"
                };
                report.note(&line.place, &line.text(), verdict, note);
            }
        }
        name => {
            let note = match name {
                "userlist" => "basic_auth of a route, with a file of htpasswd -B",
                "peers" => "no tables to share",
                "cache" => "nothing is kept",
                _ => "can't be said here",
            };
            report.note(&section.head.place, &section.head.text(), Verdict::NotHere, note);
        }
    }
}

/// Each with the lines of the `defaults` that it names, or else of those before it.
fn proxies(sections: &[Section]) -> Vec<Proxy<'_>> {
    let mut last: Vec<&Line> = Vec::new();
    let mut named: HashMap<&str, Vec<&Line>> = HashMap::new();
    let mut all = Vec::new();
    for section in sections {
        let from =
            section.head.words.iter().position(|word| word == "from").map(|at| section.head.word(at + 1));
        let inherited = from.and_then(|name| named.get(name)).cloned();
        match section.head.word(0) {
            "defaults" => {
                let mut lines = inherited.unwrap_or_default();
                lines.extend(&section.lines);
                named.insert(section.head.word(1), lines.clone());
                last = lines;
            }
            "frontend" | "backend" | "listen" => {
                let mut lines = inherited.unwrap_or_else(|| last.clone());
                lines.extend(&section.lines);
                all.push(Proxy { head: &section.head, lines });
            }
            _ => {}
        }
    }
    all
}

fn is_of_frontends(line: &Line) -> bool {
    matches!(
        (line.word(0), line.word(1)),
        ("bind" | "use_backend" | "default_backend" | "maxconn" | "monitor-uri", _)
            | ("timeout", "client" | "http-request" | "http-keep-alive")
    )
}

/// The pool, and what its rules say of routes to it.
fn backend(proxy: &Proxy<'_>, draft: &mut Draft, report: &mut Report) -> Option<(String, Object)> {
    let mut backend = Backend::named(proxy.name());
    if proxy.mode_is_tcp() {
        if proxy.is(&["backend"]) {
            report.note(&proxy.head.place, &proxy.head.text(), Verdict::NotHere, "HTTP only (`mode http`)");
        }
        return None;
    }
    if proxy.is(&["backend"]) {
        report.note(&proxy.head.place, &proxy.head.text(), Verdict::Same, "");
    }
    let mut acls = Acls::default();
    for line in &proxy.lines {
        let both = proxy.is(&["listen"]);
        let at =
            line.words.iter().position(|word| word == "if" || word == "unless").unwrap_or(line.words.len());
        let told = match line.word(0) {
            "acl" if !both => acls
                .add(line)
                .map_or_else(|why| Some((Verdict::NotHere, why)), |_| Some((Verdict::Same, String::new()))),
            "http-request" if !both && line.word(1) == "deny" => {
                Some(deny(&mut backend, &acls, &line.words[at..]))
            }
            "http-request" | "http-response" | "http-after-response" if !both => {
                let (words, condition) = line.words.split_at(at);
                frontend::rule(words, condition, &mut backend.fields, &acls)
            }
            _ => backend.line(line),
        };
        match told {
            Some((verdict, note)) => report.note(&line.place, &line.text(), verdict, note),
            None if both || is_of_frontends(line) => {}
            None if words::on_top(line, draft, report) => {}
            None => words::note(line, report),
        }
    }
    if !backend.has_servers() {
        return None;
    }
    let pool = backend.pool(report);
    Some((draft.pool(proxy.name(), pool), backend.route))
}

fn deny(backend: &mut Backend, acls: &Acls, condition: &[String]) -> (Verdict, String) {
    match acls.condition(condition) {
        Ok(all) => match &all[..] {
            [one] if one.fields.is_empty() && one.secure.is_none() => {
                backend.access("allow", &one.not_from);
                backend.access("deny", &one.from);
                (Verdict::Same, String::new())
            }
            _ => (Verdict::NotHere, "allow and deny of a route for these requests".to_owned()),
        },
        Err(why) => (Verdict::NotHere, why),
    }
}

fn frontend(
    proxy: &Proxy<'_>,
    pools: &HashMap<String, (String, Object)>,
    draft: &mut Draft,
    listeners: &mut Listeners,
    report: &mut Report,
) {
    let mut frontend = Frontend::default();
    let mut scratch = Backend::default();
    for line in &proxy.lines {
        if line.word(0) == "bind" {
            bind(line, draft, listeners, report);
            continue;
        }
        match frontend.line(line, listeners) {
            Some((verdict, note)) => report.note(&line.place, &line.text(), verdict, note),
            // What is said for backends was taken there.
            None if scratch.line(line).is_some() => {}
            None if words::on_top(line, draft, report) => {}
            None => words::note(line, report),
        }
    }
    if proxy.is(&["listen"]) && pools.contains_key(proxy.name()) {
        frontend.serves(proxy.name(), &proxy.head.place);
    }
    frontend.finish(draft, &|name| pools.get(name).cloned(), report);
}

fn bind(line: &Line, draft: &mut Draft, listeners: &mut Listeners, report: &mut Report) {
    let after = |name: &str| line.words.iter().position(|word| word == name).map(|at| line.word(at + 1));
    let has = |name: &str| line.words.iter().any(|word| word == name);
    let (mut verdict, mut note) = (Verdict::Same, "");
    for address in line.word(1).split(',') {
        let address = match address.strip_prefix("*:").or_else(|| address.strip_prefix(':')) {
            Some(port) => format!("0.0.0.0:{port}"),
            None if address.starts_with('/') => format!("unix:{address}"),
            None => match address.strip_prefix(":::") {
                Some(port) => format!("[::]:{port}"),
                None => address.trim_start_matches("ipv4@").trim_start_matches("ipv6@").to_owned(),
            },
        };
        if address.contains('-') && !address.starts_with("unix:") {
            (verdict, note) = (Verdict::NotHere, "a range of ports; name each");
            continue;
        }
        if (if has("ssl") { listeners.tls(&address) } else { listeners.plain(&address) }) == Verdict::NotHere
        {
            (verdict, note) = (Verdict::NotHere, "there is one TLS listener");
        }
    }
    if has("accept-proxy") {
        put(&mut draft.top, if has("ssl") { "tls.proxy_protocol" } else { "proxy_protocol" }, true);
    }
    if let Some(file) = after("crt") {
        listeners.certificate(json!({ "certificate": file, "private_key": file }));
        if file.ends_with('/') {
            (verdict, note) = (Verdict::NotHere, "a folder of certificates; name each");
        }
    }
    match after("ssl-min-ver") {
        Some("TLSv1.3") => put(&mut draft.top, "tls.min_version", "1.3"),
        Some(_) => put(&mut draft.top, "tls.min_version", "1.2"),
        None => {}
    }
    if verdict == Verdict::Same && after("alpn").is_some_and(|list| list.contains("h2")) {
        (verdict, note) = (Verdict::Differs, "HTTP/1.1 to clients");
    }
    if ["ca-file", "verify", "crl-file"].iter().any(|word| has(word)) {
        (verdict, note) = (Verdict::NotHere, "clients' certificates are not asked for");
    }
    report.note(&line.place, &line.text(), verdict, note);
}

/// HAProxy's defaults that would otherwise be ours.
fn unsaid(proxies: &[Proxy<'_>], draft: &mut Draft, report: &mut Report) {
    let says = |first: &str, second: &str| {
        proxies.iter().any(|proxy| {
            proxy
                .lines
                .iter()
                .any(|line| line.word(0) == first && (second.is_empty() || line.word(1) == second))
        })
    };
    for (name, field) in [
        ("connect", "timeouts.connect"),
        ("server", "timeouts.request"),
        ("client", "timeouts.client_body"),
        ("http-request", "timeouts.client_header"),
    ] {
        if !says("timeout", name) {
            let note = format!("{field} bounds it as by default");
            report.unsaid(&format!("no timeout {name}"), Verdict::Differs, note);
        }
    }
    if !says("retries", "") {
        put(&mut draft.top, "retry.max_retries", 3);
        report.unsaid("retries 3", Verdict::Same, "");
    }
    if !says("option", "redispatch") {
        report.unsaid(
            "no option redispatch",
            Verdict::Differs,
            "each attempt is on another backend, at once",
        );
    }
    put(&mut draft.top, "circuit_breaker.enabled", false);
    report.unsaid(
        "no circuit breaker",
        Verdict::Same,
        "circuit_breaker.enabled is false; on, it saves requests from backends that fail",
    );
    put(&mut draft.top, "via", false);
    if !says("option", "forwardfor") {
        report.unsaid(
            "no forwarded fields",
            Verdict::Differs,
            "X-Forwarded-For, -Proto, -Host, X-Real-IP and X-Request-ID are set",
        );
    }
    report.unsaid("names of fields in lower case", Verdict::Differs, "as they came");
}
