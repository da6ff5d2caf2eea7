//! Converts the contents of a site, or of a `handle` in it.

use serde_json::json;

use super::handlers::{USERS, handler, login};
use super::matchers::{self, Named};
use super::proxy::reverse_proxy;
use super::values::template;
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, DraftRoute, Object, merge, push, put};
use crate::convert::guard::Guard;
use crate::convert::report::{Report, Verdict};
use crate::convert::terms::{Terms, each_with_each};

/// Routes with their position in Caddy's order of directives.
type Ordered = Vec<(usize, DraftRoute)>;

/// The directives that end a request, in Caddy's order.
const ORDER: [&str; 9] =
    ["redir", "handle", "handle_path", "route", "abort", "error", "respond", "reverse_proxy", "file_server"];

/// The routes of a block; `wider` are the conditions around it.
pub fn block(
    directives: &[Directive],
    wider: &Terms,
    named: &Named,
    draft: &mut Draft,
    report: &mut Report,
) -> Vec<DraftRoute> {
    let mut own: Named = named.clone();
    for directive in directives.iter().filter(|it| it.name.starts_with('@')) {
        let terms = matchers::named(directive);
        match &terms {
            Ok(_) => report.note(&directive.place, &directive.text(), Verdict::Same, ""),
            Err(why) => report.note(&directive.place, &directive.text(), Verdict::NotHere, why.clone()),
        }
        own.insert(0, (directive.name.clone(), terms));
    }
    let mut common = Object::new();
    let mut routes: Ordered = Vec::new();
    let mut guards: Vec<Guard> = Vec::new();
    for directive in directives.iter().filter(|it| !it.name.starts_with('@')) {
        let place = ORDER.iter().position(|name| *name == directive.name);
        let (terms, args) = matchers::of(&directive.args, &own);
        let terms = terms.and_then(|all| each_with_each(std::slice::from_ref(wider), &all));
        let mut note = |verdict, note: &str| report.note(&directive.place, &directive.text(), verdict, note);
        match (place, terms) {
            (_, Err(why)) => note(Verdict::NotHere, &why),
            (None, Ok(terms)) if matches!(directive.name.as_str(), "basic_auth" | "basicauth") => {
                note(Verdict::NotHere, USERS);
                for terms in terms {
                    let (place, text) = (directive.place.clone(), directive.text());
                    let networks = Object::from_iter([("basic_auth".to_owned(), login())]);
                    guards.push(Guard { terms: terms.fields, networks, place, text });
                }
            }
            (None, Ok(terms)) => {
                let has_condition = !terms.iter().all(|it| *it == *wider);
                let (verdict, text) = handler(directive, args, has_condition, &mut common, draft);
                note(verdict, &text);
            }
            (Some(place), Ok(terms)) => {
                let found = ending(directive, args, (terms, &own), draft, report, &mut guards);
                routes.extend(found.into_iter().map(|route| (place, route)));
            }
        }
    }
    // Caddy sorts by its order of directives, then by the length of paths.
    routes.sort_by_key(|(place, route)| {
        let path =
            ["path", "path_exact"].iter().find_map(|name| route.fields.get(*name)?.as_str().map(str::len));
        let place = if matches!(ORDER[*place], "handle" | "handle_path" | "route") { 1 } else { *place };
        (place, std::cmp::Reverse(path.unwrap_or(0)))
    });
    let mut routes: Vec<DraftRoute> = routes.into_iter().map(|(_, route)| route).collect();
    for route in &mut routes {
        for (field, value) in &common {
            let only_with_backends = ["strip_prefix", "add_prefix", "request_headers", "limits", "compress"];
            if route.fields.contains_key("pool") || !only_with_backends.contains(&field.as_str()) {
                let narrower = route.fields.remove(field);
                merge(&mut route.fields, field.clone(), value.clone());
                narrower.into_iter().for_each(|value| merge(&mut route.fields, field.clone(), value));
            }
        }
    }
    for guard in &guards {
        guard.keep_out(&mut routes, report);
    }
    routes
}

/// The routes for a directive that ends a request.
fn ending(
    directive: &Directive,
    args: &[String],
    (terms, named): (Vec<Terms>, &Named),
    draft: &mut Draft,
    report: &mut Report,
    guards: &mut Vec<Guard>,
) -> Vec<DraftRoute> {
    let note = |report: &mut Report, verdict, note: &str| {
        report.note(&directive.place, &directive.text(), verdict, note.to_owned());
    };
    let arg = |at: usize| args.get(at).map_or("", String::as_str);
    let path_note = terms.iter().find_map(|terms| terms.note);
    let verdict = if path_note.is_some() { Verdict::Differs } else { Verdict::Same };
    let route = |terms: &Terms, fields: &Object| {
        let mut whole = terms.fields.clone();
        whole.extend(fields.clone());
        DraftRoute { fields: whole, place: directive.place.clone(), name: directive.text() }
    };
    if terms.iter().any(|terms| terms.secure.is_some()) {
        note(report, Verdict::NotHere, "both listeners serve all routes; tls.redirect_http");
        return Vec::new();
    }
    let is_of_clients = terms.iter().any(|terms| !terms.from.is_empty() || !terms.not_from.is_empty());
    let all_may_come_from = terms.iter().all(|terms| terms.from.is_empty() && !terms.not_from.is_empty());
    let mut fields = Object::new();
    let name = directive.name.as_str();
    match name {
        "abort" | "error" | "respond" | "redir"
            if is_of_clients && (name != "redir" || all_may_come_from) =>
        {
            for terms in terms {
                let mut networks = Object::new();
                terms.not_from.iter().for_each(|network| push(&mut networks, "allow", network.as_str()));
                terms.from.iter().for_each(|network| push(&mut networks, "deny", network.as_str()));
                guards.push(Guard {
                    terms: terms.fields,
                    networks,
                    place: directive.place.clone(),
                    text: directive.text(),
                });
            }
            let is_status = |text: &str| text.parse::<u16>().is_ok_and(|status| status >= 400);
            let is_refusal = name != "respond" || args.iter().any(|arg| is_status(arg));
            let (verdict, words) = match name {
                "redir" => (Verdict::Differs, "403 for these clients instead, before everything else"),
                _ if is_refusal => (Verdict::Differs, "with 403, before everything else"),
                _ => (Verdict::NotHere, "an answer for some clients only; they are refused with 403"),
            };
            note(report, verdict, words);
            return Vec::new();
        }
        _ if is_of_clients => {
            note(report, Verdict::NotHere, "for some clients only: allow and deny of a route");
            return Vec::new();
        }
        "handle" | "route" | "handle_path" => {
            note(report, verdict, path_note.unwrap_or_default());
            let mut all = Vec::new();
            for terms in &terms {
                for mut route in block(directive.inside(), terms, named, draft, report) {
                    if let (true, Some(path)) = (
                        directive.name == "handle_path" && route.fields.contains_key("pool"),
                        terms.fields.get("path"),
                    ) {
                        let inner =
                            route.fields.get("strip_prefix").and_then(|it| it.as_str()).unwrap_or_default();
                        let prefix = format!("{}{inner}", path.as_str().unwrap_or_default());
                        put(&mut route.fields, "strip_prefix", prefix);
                    }
                    all.push(route);
                }
            }
            return all;
        }
        "redir" => match template(arg(0)) {
            Ok(to) if to.starts_with('/') || to.contains("://") => {
                let status = match arg(1) {
                    "permanent" => 301,
                    "" | "temporary" => 302,
                    "html" => {
                        note(report, Verdict::NotHere, "a status and Location");
                        return Vec::new();
                    }
                    code => code.parse().unwrap_or(302),
                };
                put(&mut fields, "redirect", json!({ "to": to, "status": status }));
                note(report, verdict, path_note.unwrap_or_default());
            }
            _ => {
                note(report, Verdict::NotHere, "redirect.to has {host}, {path} and {scheme}");
                return Vec::new();
            }
        },
        "respond" | "error" | "abort" => {
            let inner = |name: &str| {
                directive.inside().iter().find(|it| it.name == name).map(|it| it.arg(0).to_owned())
            };
            let is_status = |text: &str| text.len() == 3 && text.parse::<u16>().is_ok();
            let (body, status) = match (arg(0), arg(1)) {
                (status, "") if is_status(status) => {
                    (inner("body").unwrap_or_default(), status.parse().unwrap_or(200))
                }
                (body, status) => (
                    body.to_owned(),
                    status.parse().unwrap_or(if directive.name == "error" { 500 } else { 200 }),
                ),
            };
            let status = if directive.name == "abort" { 404 } else { status };
            put(
                &mut fields,
                "respond",
                json!({ "status": status, "body": body, "type": "text/plain; charset=utf-8" }),
            );
            match directive.name.as_str() {
                "abort" => note(
                    report,
                    Verdict::NotHere,
                    "a connection can't be closed without an answer; 404 instead",
                ),
                "error" => note(report, Verdict::Differs, "with this status"),
                _ if body.contains('{') => note(report, Verdict::Differs, "braces stand for themselves"),
                _ => note(report, verdict, path_note.unwrap_or_default()),
            }
        }
        "reverse_proxy" => {
            if let Some(text) = path_note {
                note(report, verdict, text);
            }
            fields = reverse_proxy(directive, args, draft, report);
            if !fields.contains_key("pool") {
                return Vec::new();
            }
        }
        _ => {
            note(report, Verdict::NotHere, "no files here; a program that serves them is a backend");
            put(&mut fields, "respond", json!({ "status": 404 }));
        }
    }
    terms.iter().map(|terms| route(terms, &fields)).collect()
}
