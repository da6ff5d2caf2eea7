//! Converts `server` blocks: their addresses, their names, and their contents.

use serde_json::{Value as Json, json};

use super::actions;
use super::location;
use super::scope::Scope;
use super::settings::Settings;
use super::upstream::Upstream;
use super::{on_top, words};
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, Object, push, put};
use crate::convert::listen::Listeners;
use crate::convert::report::{Report, Verdict};

/// Whether the server has no TLS and only redirects to https.
pub fn only_redirects(block: &Directive) -> bool {
    let is_plain =
        !block.inside().iter().any(|it| it.name == "listen" && it.args.iter().any(|arg| arg == "ssl"));
    is_plain
        && !block
            .inside()
            .iter()
            .any(|it| it.name == "location" && it.inside().iter().any(|it| it.name == "proxy_pass"))
        && sends_to_https(block.inside())
}

/// Whether requests are redirected to the same host and path with https.
fn sends_to_https(block: &[Directive]) -> bool {
    block.iter().any(|it| match it.name.as_str() {
        "return" => matches!(it.arg(0), "301" | "302" | "307" | "308") && is_own_https(it.arg(1)),
        "rewrite" => is_own_https(it.arg(1).trim_end_matches('?')),
        "if" | "location" => sends_to_https(it.inside()),
        _ => false,
    })
}

fn is_own_https(to: &str) -> bool {
    ["$host", "$http_host", "$server_name"].iter().any(|host| {
        to.strip_prefix("https://").and_then(|rest| rest.strip_prefix(host)) == Some("$request_uri")
    })
}

/// Converts one server.
pub fn server(
    block: &Directive,
    http: &Settings,
    upstreams: &[Upstream],
    is_default: bool,
    (draft, listeners, report): (&mut Draft, &mut Listeners, &mut Report),
) {
    report.note(&block.place, "server", Verdict::Same, "");
    let (settings, others) = http.below(block.inside(), report);
    let mut names = Vec::new();
    let mut certificate: (Option<Json>, Option<Json>) = (None, None);
    for directive in &others {
        match directive.name.as_str() {
            "listen" => listen(directive, draft, listeners, report),
            "server_name" => names.extend(server_names(directive, report)),
            "ssl_certificate" | "ssl_certificate_key" => {
                report.note(&directive.place, &directive.text(), Verdict::Same, "");
                match directive.name.ends_with("key") {
                    true => certificate.1 = Some(json!(directive.arg(0))),
                    false => certificate.0 = Some(json!(directive.arg(0))),
                }
            }
            _ => {}
        }
    }
    if !block.inside().iter().any(|it| it.name == "listen") {
        listeners.add("0.0.0.0:80", false);
        report.unsaid("listen 80", Verdict::Same, "");
    }
    if let (Some(certificate), Some(key)) = certificate {
        listeners.certificate(json!({ "certificate": certificate, "private_key": key }));
    }
    if is_default && !names.is_empty() {
        report.note(&block.place, "default server", Verdict::Same, "takes what no other server_name is for");
        names.clear();
    }
    let scope = Scope { upstreams, hosts: names };
    let before = draft.routes.len();
    for directive in &others {
        match directive.name.as_str() {
            "location" => location::location(directive, &settings, &scope, draft, report),
            "if" => condition(directive, &settings, draft, report),
            "listen"
            | "server_name"
            | "ssl_certificate"
            | "ssl_certificate_key"
            | "return"
            | "rewrite"
            | "proxy_pass" => {}
            _ if on_top::take(directive, draft, report) => {}
            _ => words::note(directive, report),
        }
    }
    // Directives outside of locations take precedence over locations.
    let own = location::action(&others, &settings, None, &scope, draft, report);
    let takes_all = |route: &Object| !route.keys().any(|key| key.starts_with("path"));
    if let Some(mut route) = own {
        draft.routes.truncate(before);
        scope.add_hosts(&mut route);
        draft.route(route, &block.place, "server");
    } else if !draft.routes[before..].iter().any(|route| takes_all(&route.fields)) {
        let mut route = settings.answer();
        scope.add_hosts(&mut route);
        put(&mut route, "respond", json!({ "status": 404 }));
        draft.route(route, &block.place, "server");
        report.note(&block.place, "server", Verdict::Differs, "404 where it would look for a file");
    }
}

fn listen(directive: &Directive, draft: &mut Draft, listeners: &mut Listeners, report: &mut Report) {
    let has = |word: &str| directive.args.iter().any(|arg| arg == word);
    let address = directive.arg(0);
    let address = match address {
        port if port.bytes().all(|it| it.is_ascii_digit()) => format!("0.0.0.0:{port}"),
        star if star.starts_with("*:") => format!("0.0.0.0:{}", &star[2..]),
        socket if socket.starts_with("unix:") => socket.to_owned(),
        host if !host.contains(':') || host.ends_with(']') => format!("{host}:80"),
        whole => whole.to_owned(),
    };
    if has("proxy_protocol") {
        let field = if has("ssl") { "tls.proxy_protocol" } else { "proxy_protocol" };
        put(&mut draft.top, field, true);
    }
    listeners.add(&address, has("ssl"));
    let (verdict, note) = match has("http2") || has("quic") {
        true => (Verdict::Differs, "HTTP/1.1 to clients"),
        false => (Verdict::Same, ""),
    };
    report.note(&directive.place, &directive.text(), verdict, note);
}

fn server_names(directive: &Directive, report: &mut Report) -> Vec<String> {
    let mut names = Vec::new();
    let mut unknown = Vec::new();
    for name in &directive.args {
        match name.as_str() {
            "_" | "" => {}
            regex if regex.starts_with('~') || regex.ends_with(".*") => unknown.push(regex),
            both if both.starts_with('.') => names.extend([both[1..].to_owned(), format!("*{both}")]),
            plain => names.push(plain.to_ascii_lowercase()),
        }
    }
    match unknown.is_empty() {
        true => report.note(&directive.place, &directive.text(), Verdict::Same, ""),
        false => report.note(
            &directive.place,
            &directive.text(),
            Verdict::NotHere,
            format!("a host is a name or *.name: {}", unknown.join(" ")),
        ),
    }
    names
}

/// Converts `if ($host = a) { return … }`, as written by certbot.
fn condition(block: &Directive, settings: &Settings, draft: &mut Draft, report: &mut Report) {
    let words: Vec<&str> =
        block.args.iter().map(|arg| arg.trim_matches(['(', ')'])).filter(|arg| !arg.is_empty()).collect();
    let action = block.inside().iter().find(|it| it.name == "return");
    match (&words[..], action) {
        (["$host" | "$http_host", "=", host], Some(action)) => {
            report.note(&block.place, &block.text(), Verdict::Same, "a route for this host");
            if let Some(mut route) = actions::returned(action, settings, report) {
                put(&mut route, "host", *host);
                draft.route(route, &block.place, &block.text());
            }
        }
        (["$request_method", "=", method], Some(action)) => {
            report.note(&block.place, &block.text(), Verdict::Same, "a route for this method");
            if let Some(mut route) = actions::returned(action, settings, report) {
                push(&mut route, "methods", *method);
                draft.route(route, &block.place, &block.text());
            }
        }
        _ => report.note(
            &block.place,
            &block.text(),
            Verdict::NotHere,
            "conditions are routes: headers, query, methods, host",
        ),
    }
}
