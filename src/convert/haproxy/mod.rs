//! Converts haproxy.cfg: `defaults`, `frontend`, `backend` and `listen` sections.

mod access;
mod backend;
mod bind;
mod conditions;
mod defaults;
mod frontend;
mod proxies;
mod rule;
mod server;
mod syntax;
mod values;
mod words;

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use super::draft::{Draft, put};
use super::listen::Listeners;
use super::order;
use super::report::{Report, Verdict};
use access::To;
use backend::Backend;
use conditions::Acls;
use frontend::Frontend;
use proxies::{Proxy, proxies};
use syntax::{Line, Section};

/// The release whose defaults apply if none is named.
pub const RELEASE: &str = "2.6.12";

/// Converts the text of this file.
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
    let proxies = proxies(&sections)?;
    let is_forwardfor = |line: &&Line| line.word(0) == "option" && line.word(1) == "forwardfor";
    let adds_client = proxies.iter().any(|proxy| proxy.lines.iter().any(is_forwardfor));
    let mut pools: HashMap<String, To> = HashMap::new();
    for proxy in proxies.iter().filter(|proxy| proxy.is(&["backend", "listen"])) {
        if let Some(to) = backend(proxy, adds_client, &mut draft, report) {
            pools.insert(proxy.name().to_owned(), to);
        }
    }
    for proxy in proxies.iter().filter(|proxy| proxy.is(&["frontend", "listen"])) {
        if proxy.mode_is_tcp() {
            report.note(&proxy.head.place, &proxy.head.text(), Verdict::NotHere, "HTTP only (`mode http`)");
            continue;
        }
        report.note(&proxy.head.place, &proxy.head.text(), Verdict::Same, "");
        frontend(proxy, (&pools, adds_client), &mut draft, &mut listeners, report);
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
    defaults::unsaid(&proxies, &mut draft, report);
    Ok(draft)
}

/// Converts sections other than proxies.
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

fn is_of_frontends(line: &Line) -> bool {
    matches!(
        (line.word(0), line.word(1)),
        ("bind" | "use_backend" | "default_backend" | "maxconn" | "monitor-uri", _)
            | ("timeout", "client" | "http-request" | "http-keep-alive")
    )
}

/// The backend's pool and restrictions; `None` if no route can lead to it.
fn backend(proxy: &Proxy<'_>, adds_client: bool, draft: &mut Draft, report: &mut Report) -> Option<To> {
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
    let mut acls = Acls::new(adds_client);
    for (number, line) in proxy.lines.iter().enumerate() {
        let both = proxy.is(&["listen"]);
        let at =
            line.words.iter().position(|word| word == "if" || word == "unless").unwrap_or(line.words.len());
        let told = match line.word(0) {
            "acl" if !both => Some(acls.told(line)),
            _ if !both && access::keeps_out(&line.words[..at]) => {
                let (words, condition) = line.words.split_at(at);
                let found = match line.word(1) {
                    "auth" => Ok(access::auth(&acls, line, condition)),
                    "return" => access::refusal(&acls, line, words, condition),
                    _ => access::deny(&acls, line, words, condition),
                };
                Some(found.map_or_else(
                    |why| (Verdict::NotHere, why),
                    |(guards, told)| {
                        backend.guards.extend(guards);
                        told
                    },
                ))
            }
            "http-request" | "http-response" | "http-after-response" if !both => {
                let (words, condition) = line.words.split_at(at);
                rule::rule(words, condition, &mut backend.fields, &acls)
            }
            _ => backend.line(line),
        };
        match told {
            Some((verdict, note)) => report.note(&line.place, &line.text(), verdict, note),
            None if both || (is_of_frontends(line) && number < proxy.inherited) => {}
            None if is_of_frontends(line) => {
                report.note(&line.place, &line.text(), Verdict::Ignored, "it is for frontends");
            }
            None if words::on_top(line, draft, report) => {}
            None => words::note(line, report),
        }
    }
    if !backend.has_servers() {
        return To::nobody(backend.guards);
    }
    let pool = backend.pool(report);
    Some(To { pool: draft.pool(proxy.name(), pool), guards: backend.guards })
}

fn frontend(
    proxy: &Proxy<'_>,
    (pools, adds_client): (&HashMap<String, To>, bool),
    draft: &mut Draft,
    listeners: &mut Listeners,
    report: &mut Report,
) {
    let mut frontend = Frontend::new(adds_client);
    let mut scratch = Backend::default();
    let serves_pages_only = serves_pages_only(proxy);
    for line in &proxy.lines {
        if line.word(0) == "bind" && serves_pages_only {
            let note = "no listener of its own: pages are on each (`pages`), and on the admin listener";
            report.note(&line.place, &line.text(), Verdict::Differs, note);
            continue;
        }
        if line.word(0) == "bind" {
            bind::bind(line, draft, listeners, report);
            continue;
        }
        match frontend.line(line, listeners) {
            Some((verdict, note)) => report.note(&line.place, &line.text(), verdict, note),
            // Lines on backends were converted with the backends.
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

/// Whether the proxy only serves HAProxy's own pages. A listener here would serve all routes.
fn serves_pages_only(proxy: &Proxy<'_>) -> bool {
    let has = |names: &[&str]| proxy.lines.iter().any(|line| names.contains(&line.word(0)));
    has(&["stats"]) && !has(&["server", "server-template", "use_backend", "default_backend", "redirect"])
}
