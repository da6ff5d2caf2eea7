//! Converts `if` of a server, as written by certbot, and finds redirects to https that would go in circles.

use serde_json::Value as Json;

use super::location;
use super::scope::Scope;
use super::settings::Settings;
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, DraftRoute, Object, push, put};
use crate::convert::guard::{Guard, for_hosts};
use crate::convert::order::hosts;
use crate::convert::report::{Report, Verdict};

/// Converts `if ($host = a) { return … }`: an answer to a part of the server's requests, before all else.
pub fn answer(
    block: &Directive,
    settings: &Settings,
    (scope, tls_hosts): (&Scope<'_>, &[String]),
    draft: &mut Draft,
    report: &mut Report,
) -> Option<Guard> {
    let words: Vec<&str> =
        block.args.iter().map(|arg| arg.trim_matches(['(', ')'])).filter(|arg| !arg.is_empty()).collect();
    let mut terms = Object::new();
    let note = match &words[..] {
        ["$host" | "$http_host", "=", host] => {
            put(&mut terms, "host", *host);
            "a route for this host"
        }
        ["$request_method", "=", method] => {
            push(&mut terms, "methods", *method);
            "a route for this method"
        }
        _ => {
            not_here(block, report);
            return None;
        }
    };
    let (ending, others): (Vec<&Directive>, Vec<&Directive>) =
        block.inside().iter().partition(|it| matches!(it.name.as_str(), "return" | "rewrite"));
    others.iter().for_each(|other| not_here(other, report));
    let networks = location::action(&ending, settings, None, scope, draft, report);
    let host = terms.get("host").and_then(Json::as_str).unwrap_or_default();
    let (verdict, note) = match &networks {
        Some(answer) if goes_round(answer, host, tls_hosts) => (Verdict::NotHere, IN_CIRCLES),
        Some(_) => (Verdict::Same, note),
        None => (Verdict::NotHere, note),
    };
    report.note(&block.place, &block.text(), verdict, note);
    Some(Guard { terms, networks: networks?, place: block.place.clone(), text: block.text() })
}

fn not_here(directive: &Directive, report: &mut Report) {
    let note = "conditions are routes: headers, query, methods, host";
    report.note(&directive.place, &directive.text(), Verdict::NotHere, note);
    directive.inside().iter().for_each(|inner| not_here(inner, report));
}

const IN_CIRCLES: &str = "not by a route, which is for TLS as well; tls.redirect_http, for all hosts";

/// Whether this answer sends clients of the host by TLS to where they are; an empty host is any.
fn goes_round(answer: &Object, host: &str, tls_hosts: &[String]) -> bool {
    let to = answer.get("redirect").and_then(|it| it["to"].as_str()).unwrap_or_default();
    let is_own =
        to == "https://{host}{path}" || to.strip_prefix("https://") == Some(&format!("{host}{{path}}"));
    is_own && tls_hosts.iter().any(|name| name == host)
}

/// Takes out redirects to https for hosts that servers with TLS have: every listener serves all routes, so
/// that they would send clients that came by TLS to where they are.
pub fn without_circles(routes: &mut Vec<DraftRoute>, tls_hosts: &[String], report: &mut Report) {
    routes.retain_mut(|route| {
        let all: Vec<String> = match hosts(&route.fields)[..] {
            [] => vec![String::new()],
            ref hosts => hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let rest: Vec<String> =
            all.iter().filter(|host| !goes_round(&route.fields, host, tls_hosts)).cloned().collect();
        if rest.len() < all.len() {
            report.note(&route.place, &route.name, Verdict::NotHere, IN_CIRCLES);
        }
        for_hosts(&mut route.fields, &rest);
        if rest == [""] {
            route.fields.remove("host");
        }
        !rest.is_empty()
    });
}

/// The names of servers with TLS; an empty one is any.
pub fn names(servers: &[&Directive]) -> Vec<String> {
    let names = servers.iter().flat_map(|server| server.inside()).filter(|it| it.name == "server_name");
    names.flat_map(|it| &it.args).map(|name| name.to_ascii_lowercase()).collect()
}
