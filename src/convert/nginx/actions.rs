//! Converts `return`, `rewrite` and `proxy_pass` into the action of a route.

use serde_json::{Value as Json, json};

use super::scope::Scope;
use super::settings::Settings;
use super::upstream::Upstream;
use super::values::template;
use crate::config::{Config, HostHeader, Overrides, parse};
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, Object, put};
use crate::convert::report::{Report, Verdict};

/// The prefix that a rewrite strips: `/api` for `rewrite ^/api/(.*)$ /$1 break`.
pub fn prefix_taken_off(args: &[String]) -> Option<String> {
    let [from, to, rest @ ..] = args else { return None };
    if to != "/$1" || !matches!(rest.first().map(String::as_str), Some("break") | None) {
        return None;
    }
    let inner = from.strip_prefix('^').unwrap_or(from);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let prefix = inner.strip_suffix("/(.*)").or_else(|| inner.strip_suffix("/?(.*)"))?;
    let is_plain = !prefix.is_empty() && !prefix.contains(['(', '[', '*', '+', '?', '|', '\\', '$', '.']);
    is_plain.then(|| prefix.to_owned())
}

/// Converts a redirecting rewrite, such as `rewrite ^ https://www.example.com$request_uri? permanent`.
pub fn rewritten(directive: &Directive, settings: &Settings, report: &mut Report) -> Option<Object> {
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

/// Converts `return`.
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

/// Converts `proxy_pass`.
pub fn passed(
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
        // `backend`, for example, is a keyword of `host_header`.
        (None, true) if is_a_host(&address) => address.clone(),
        (None, true) => {
            note(Verdict::Differs, "Host is the backend's own, where nginx sends the upstream's name");
            "backend".to_owned()
        }
        (None, false) if address.starts_with("unix:") => "localhost".to_owned(),
        (None, false) => "backend".to_owned(),
    };
    put(&mut fields, "host_header", host);
    match rewriting(prefix.unwrap_or("/"), path) {
        Some((strip, add)) => {
            let parts = [("strip_prefix", strip), ("add_prefix", add)];
            for (field, prefix) in parts.into_iter().filter_map(|(field, prefix)| Some((field, prefix?))) {
                put(&mut fields, field, prefix);
            }
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

/// The prefixes to strip and to add if a location for `prefix` passes to `path`.
fn rewriting(prefix: &str, path: &str) -> Option<(Option<Json>, Option<Json>)> {
    let (from, to) = (prefix.trim_end_matches('/'), path.trim_end_matches('/'));
    if path.is_empty() || from == to && prefix.ends_with('/') == path.ends_with('/') {
        return Some((None, None));
    }
    (prefix.ends_with('/') == path.ends_with('/'))
        .then(|| ((!from.is_empty()).then(|| json!(from)), (!to.is_empty()).then(|| json!(to))))
}

/// Whether `host_header` accepts this as a host.
fn is_a_host(text: &str) -> bool {
    let file = json!({ "host_header": text }).to_string();
    let is_fixed = |config: Config| matches!(config.host_header, HostHeader::Fixed(_));
    parse(&file, &Overrides::default()).is_ok_and(is_fixed)
}
