//! `location` blocks, and what a server says outside of them, as routes.

use serde_json::{Value as Json, json};

use super::server::Scope;
use super::settings::Settings;
use super::upstream::Upstream;
use super::values::template;
use super::words;
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, Object, put};
use crate::convert::report::{Report, Verdict};

/// What a `location` is for, as the fields of a route; a note where that differs.
fn conditions(args: &[String]) -> Result<(Object, &'static str), &'static str> {
    let mut fields = Object::new();
    let (how, path) = match args {
        [path] => ("", path.as_str()),
        [how, path] => (how.as_str(), path.as_str()),
        _ => return Err("this location was not understood"),
    };
    let mut note = "";
    match how {
        "" | "^~" if path.starts_with('@') => {
            return Err("a named location: error_pages, or a route of its own");
        }
        "" | "^~" => {
            let bare = path.trim_end_matches('/');
            if path != "/" {
                put(&mut fields, "path", if bare.is_empty() { "/" } else { bare });
                note = match (path.ends_with('/'), how) {
                    (_, "^~") => "by whole segments; an expression wins over it",
                    (true, _) => "takes the path without the slash as well, which nginx redirects",
                    (false, _) => "by whole segments",
                };
            }
        }
        "=" => put(&mut fields, "path_exact", path),
        "~" | "~*" => {
            let expression = if how == "~*" { format!("(?i){path}") } else { path.to_owned() };
            if regex::Regex::new(&expression).is_err() {
                return Err("look-around and back-references can't be said here (path_regex)");
            }
            put(&mut fields, "path_regex", expression);
        }
        _ => return Err("this location was not understood"),
    }
    Ok((fields, note))
}

/// One block, and those within it.
pub fn location(
    block: &Directive,
    wider: &Settings,
    scope: &Scope<'_>,
    draft: &mut Draft,
    report: &mut Report,
) {
    let (settings, others) = wider.below(block.inside(), report);
    match conditions(&block.args) {
        Err(why) => report.note(&block.place, &block.text(), Verdict::NotHere, why),
        Ok((conditions, note)) => {
            let verdict = if note.is_empty() { Verdict::Same } else { Verdict::Differs };
            report.note(&block.place, &block.text(), verdict, note);
            let prefix = block.args.last().map_or("/", String::as_str);
            let has_action = others.iter().any(|it| {
                matches!(it.name.as_str(), "return" | "rewrite" | "proxy_pass" | "location" | "if")
            });
            let action = action(&others, &settings, Some(prefix), scope, draft, report);
            let nested = others.iter().any(|it| it.name == "location");
            if !has_action && !settings.denies_everybody() {
                report.note(
                    &block.place,
                    &block.text(),
                    Verdict::NotHere,
                    "404 where it would look for a file or ask another program",
                );
            }
            if let Some(mut route) = action.filter(|route| !(nested && route.contains_key("respond"))) {
                scope.add_hosts(&mut route);
                route.extend(conditions);
                draft.route(route, &block.place, &block.text());
            }
        }
    }
    for directive in others {
        match directive.name.as_str() {
            "location" => location(directive, &settings, scope, draft, report),
            "proxy_pass" | "return" | "rewrite" => {}
            _ if words::on_top(directive, draft, report) => {}
            _ => words::note(directive, report),
        }
    }
}

/// What becomes of requests: the first word that says so counts. `prefix` is the location's.
pub fn action(
    block: &[&Directive],
    settings: &Settings,
    prefix: Option<&str>,
    scope: &Scope<'_>,
    draft: &mut Draft,
    report: &mut Report,
) -> Option<Object> {
    let mut stripped = None;
    let mut found = None;
    for directive in block {
        match directive.name.as_str() {
            "return" if found.is_none() => found = returned(directive, settings, report),
            "rewrite" if found.is_none() => match prefix_taken_off(&directive.args) {
                Some(prefix) => {
                    report.note(&directive.place, &directive.text(), Verdict::Same, "strip_prefix");
                    stripped = Some(prefix);
                }
                None => found = rewritten(directive, settings, report),
            },
            "proxy_pass" if found.is_none() => {
                found = passed(directive, settings, prefix, scope, draft, report)
            }
            _ => {}
        }
    }
    if settings.denies_everybody() && (prefix.is_some() || found.is_some()) {
        let mut fields = settings.answer();
        put(&mut fields, "respond", json!({ "status": 403 }));
        return Some(fields);
    }
    let mut fields = match (found, prefix) {
        (Some(fields), _) => fields,
        (None, None) => return None,
        (None, Some(_)) => {
            let mut fields = settings.answer();
            put(&mut fields, "respond", json!({ "status": 404 }));
            fields
        }
    };
    if let Some(prefix) = stripped.filter(|_| fields.contains_key("pool")) {
        put(&mut fields, "strip_prefix", prefix);
    }
    Some(fields)
}

/// `rewrite ^/api/(.*)$ /$1 break` takes `/api` off.
fn prefix_taken_off(args: &[String]) -> Option<String> {
    let [from, to, rest @ ..] = args else { return None };
    if to != "/$1" || !matches!(rest.first().map(String::as_str), Some("break") | None) {
        return None;
    }
    let inner = from.strip_prefix('^')?;
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let prefix = inner.strip_suffix("/(.*)").or_else(|| inner.strip_suffix("/?(.*)"))?;
    let is_plain = !prefix.is_empty() && !prefix.contains(['(', '[', '*', '+', '?', '|', '\\', '$', '.']);
    is_plain.then(|| prefix.to_owned())
}

/// `rewrite ^ https://www.example.com$request_uri? permanent` and the like.
fn rewritten(directive: &Directive, settings: &Settings, report: &mut Report) -> Option<Object> {
    let flag = directive.args.get(2).map_or("", String::as_str);
    let to = directive.arg(1).trim_end_matches('?');
    let status = match flag {
        "permanent" => 301,
        _ if flag == "redirect" || to.contains("://") => 302,
        _ => 0,
    };
    let whole = match directive.arg(0) {
        "^" | ".*" | "^.*" | "^.*$" => Some(to.to_owned()),
        "^/(.*)$" | "^/(.*)" if to.ends_with("/$1") => {
            Some(format!("{}$request_uri", to.trim_end_matches("/$1")))
        }
        "^(.*)$" | "^(.*)" | "(.*)" if to.ends_with("$1") => {
            Some(format!("{}$request_uri", to.trim_end_matches("$1")))
        }
        _ => None,
    };
    let Some(to) = whole.filter(|_| status != 0).and_then(|to| template(&to).ok()) else {
        let note = "rewrites are strip_prefix, add_prefix and redirect";
        report.note(&directive.place, &directive.text(), Verdict::NotHere, note);
        return None;
    };
    report.note(&directive.place, &directive.text(), Verdict::Same, "redirect");
    let mut fields = settings.answer();
    put(&mut fields, "redirect", json!({ "to": to, "status": status }));
    Some(fields)
}

/// `return`.
pub fn returned(directive: &Directive, settings: &Settings, report: &mut Report) -> Option<Object> {
    let mut note = |verdict, note: &str| report.note(&directive.place, &directive.text(), verdict, note);
    let (status, text) = match (directive.arg(0).parse::<u16>(), directive.args.get(1)) {
        (Ok(status), text) => (status, text.map_or("", String::as_str)),
        (Err(_), _) => (302, directive.arg(0)),
    };
    let mut fields = settings.answer();
    match status {
        301 | 302 | 303 | 307 | 308 => match template(text) {
            Ok(to) if to.contains("://") || to.starts_with('/') => {
                put(&mut fields, "redirect", json!({ "to": to, "status": status }));
                note(Verdict::Same, "");
            }
            _ => {
                note(Verdict::NotHere, "redirect.to has {host}, {path} and {scheme}");
                return None;
            }
        },
        444 => {
            put(&mut fields, "respond", json!({ "status": 404 }));
            note(Verdict::NotHere, "a connection can't be closed without an answer; 404 instead");
        }
        200..=599 if !text.contains('$') => {
            let kind = settings.default_type.as_deref().unwrap_or("text/plain");
            put(&mut fields, "respond", json!({ "status": status, "body": text, "type": kind }));
            match text.is_empty() && status >= 300 {
                true => note(Verdict::Differs, "without nginx's page"),
                false => note(Verdict::Same, ""),
            }
        }
        _ => {
            note(Verdict::NotHere, "respond has a fixed text and a status from 200 to 599");
            return None;
        }
    }
    Some(fields)
}

/// `proxy_pass`.
fn passed(
    directive: &Directive,
    settings: &Settings,
    prefix: Option<&str>,
    scope: &Scope<'_>,
    draft: &mut Draft,
    report: &mut Report,
) -> Option<Object> {
    let mut note = |verdict, note: &str| report.note(&directive.place, &directive.text(), verdict, note);
    let url = directive.arg(0);
    let parts = url.split_once("://").filter(|_| !url.contains('$'));
    let Some((scheme, rest)) = parts else {
        note(Verdict::NotHere, "a backend by variable; name each under \"pools\"");
        return None;
    };
    let (address, path) = match rest.strip_prefix("unix:") {
        Some(socket) => match socket.split_once(':') {
            Some((socket, path)) => (format!("unix:{socket}"), path),
            None => (format!("unix:{socket}"), ""),
        },
        None => rest.find('/').map_or((rest.to_owned(), ""), |at| (rest[..at].to_owned(), &rest[at..])),
    };
    let upstream = scope.upstreams.iter().find(|upstream| upstream.name == address);
    let is_named = upstream.is_some();
    let upstream = upstream.cloned().unwrap_or_else(|| Upstream::of_address(&with_port(scheme, &address)));
    let mut fields = settings.route(upstream.size());
    let name = draft.pool(&upstream.name, upstream.pool(scheme, settings.ca.as_deref()));
    put(&mut fields, "pool", name);
    let host = match (&settings.host, is_named) {
        (Some(host), _) => host.clone(),
        (None, true) => address.clone(),
        (None, false) if address.starts_with("unix:") => "localhost".to_owned(),
        (None, false) => "backend".to_owned(),
    };
    put(&mut fields, "host_header", host);
    match rewriting(prefix.unwrap_or("/"), path) {
        Some((strip, add)) => {
            strip.map(|prefix| put(&mut fields, "strip_prefix", prefix));
            add.map(|prefix| put(&mut fields, "add_prefix", prefix));
            note(Verdict::Same, "");
        }
        None => note(Verdict::NotHere, "this rewriting can't be said; see strip_prefix and add_prefix"),
    }
    Some(fields)
}

fn with_port(scheme: &str, address: &str) -> String {
    match scheme == "https" && !address.starts_with("unix:") && !address.contains(':') {
        true => format!("{address}:443"),
        false => address.to_owned(),
    }
}

/// What is taken off and put before the path where a location for `prefix` passes to `path`.
fn rewriting(prefix: &str, path: &str) -> Option<(Option<Json>, Option<Json>)> {
    let (from, to) = (prefix.trim_end_matches('/'), path.trim_end_matches('/'));
    if path.is_empty() || from == to && prefix.ends_with('/') == path.ends_with('/') {
        return Some((None, None));
    }
    (prefix.ends_with('/') == path.ends_with('/'))
        .then(|| ((!from.is_empty()).then(|| json!(from)), (!to.is_empty()).then(|| json!(to))))
}
