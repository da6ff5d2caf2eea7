//! Converts `server` blocks: their addresses, their names, and their contents.

use serde_json::{Value as Json, json};

use super::conditional;
use super::location;
use super::scope::Scope;
use super::settings::Settings;
use super::upstream::Upstream;
use super::{on_top, words};
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, Object, put};
use crate::convert::guard::Guard;
use crate::convert::listen::Listeners;
use crate::convert::report::{Report, Verdict};

/// Whether one of the server's addresses has TLS.
pub fn has_tls(block: &Directive) -> bool {
    block.inside().iter().any(|it| it.name == "listen" && it.args.iter().any(|arg| arg == "ssl"))
}

/// Whether the server has no TLS and only redirects to https. The `return 404` of certbot's, for other hosts
/// than the redirected ones, is no answer of its own.
pub fn only_redirects(block: &Directive) -> bool {
    !has_tls(block) && sends_to_https(block.inside()) && !answers_otherwise(block.inside(), true)
}

fn answers_otherwise(block: &[Directive], is_outside: bool) -> bool {
    block.iter().any(|it| match it.name.as_str() {
        "proxy_pass" => true,
        "return" if is_outside && it.arg(0) == "404" => false,
        "return" => !is_to_https(it),
        "if" | "location" => answers_otherwise(it.inside(), false),
        _ => false,
    })
}

/// Whether requests are redirected to the same host and path with https.
pub fn sends_to_https(block: &[Directive]) -> bool {
    block.iter().any(|it| is_to_https(it) || sends_to_https(it.inside()))
}

/// Whether the directive itself is that redirect.
pub fn is_to_https(directive: &Directive) -> bool {
    match directive.name.as_str() {
        "return" => {
            matches!(directive.arg(0), "301" | "302" | "307" | "308") && is_own_https(directive.arg(1))
        }
        "rewrite" => is_own_https(directive.arg(1).trim_end_matches('?')),
        _ => false,
    }
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
    (upstreams, tls_hosts): (&[Upstream], &[String]),
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
    // A server with TLS may redirect to itself for reasons of its own.
    let tls_hosts = if has_tls(block) { &[] } else { tls_hosts };
    let scope = Scope { upstreams, hosts: names };
    // A `return` or `rewrite` outside of locations takes precedence over them, and so does an `if` before it.
    let mut conditions: Vec<Guard> = Vec::new();
    let mut own = None;
    for directive in &others {
        match directive.name.as_str() {
            "if" | "return" | "rewrite" if own.is_some() => location::never_reached(directive, report),
            "if" => conditions.extend(conditional::answer(
                directive,
                &settings,
                (&scope, tls_hosts),
                draft,
                report,
            )),
            "return" | "rewrite" => {
                own = location::action(&[*directive], &settings, None, &scope, draft, report);
            }
            _ => {}
        }
    }
    let before = draft.routes.len();
    for directive in &others {
        match directive.name.as_str() {
            "location" if own.is_some() => location::never_reached(directive, report),
            "location" => location::location(directive, &settings, &scope, draft, report),
            "listen"
            | "server_name"
            | "ssl_certificate"
            | "ssl_certificate_key"
            | "if"
            | "return"
            | "rewrite" => {}
            _ if on_top::take(directive, draft, report) => {}
            _ => words::note(directive, report),
        }
    }
    let takes_all = |route: &Object| !route.keys().any(|key| key.starts_with("path"));
    if let Some(mut route) = own {
        scope.add_hosts(&mut route);
        draft.route(route, &block.place, "server");
    } else if !draft.routes[before..].iter().any(|route| takes_all(&route.fields)) {
        let mut route = settings.answer();
        scope.add_hosts(&mut route);
        put(&mut route, "respond", json!({ "status": 404 }));
        draft.route(route, &block.place, "server");
        report.note(&block.place, "server", Verdict::Differs, "404 where it would look for a file");
    }
    let mut routes = draft.routes.split_off(before);
    // The first condition that holds counts, and so it is written last.
    conditions.iter().rev().for_each(|condition| condition.keep_out(&mut routes, report));
    conditional::without_circles(&mut routes, tls_hosts, report);
    draft.routes.extend(routes);
}

fn listen(directive: &Directive, draft: &mut Draft, listeners: &mut Listeners, report: &mut Report) {
    let has = |word: &str| directive.args.iter().any(|arg| arg == word);
    let address = directive.arg(0);
    let address = match address {
        port if port.bytes().all(|it| it.is_ascii_digit()) => format!("0.0.0.0:{port}"),
        star if star.starts_with("*:") => star.replacen('*', "0.0.0.0", 1),
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
            both if both.starts_with('.') => {
                names.extend([both.trim_start_matches('.').to_owned(), format!("*{both}")]);
            }
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
