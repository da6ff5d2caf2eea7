//! Converts `location` blocks, and server directives outside of them, into routes.

use crate::convert::expression;
use serde_json::json;

use super::actions::{passed, prefix_taken_off, returned, rewritten};
use super::scope::Scope;
use super::settings::Settings;
use super::{on_top, words};
use crate::convert::directive::Directive;
use crate::convert::draft::{Draft, Object, put};
use crate::convert::report::{Report, Verdict};

/// The conditions of a `location` as fields of a route, with a note on differences.
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
            if expression::read(&expression).is_none() {
                return Err("look-around and back-references can't be said here (path_regex)");
            }
            put(&mut fields, "path_regex", expression);
        }
        _ => return Err("this location was not understood"),
    }
    Ok((fields, note))
}

/// The note for what stands behind an answer.
pub const NEVER_REACHED: &str = "it is never reached: an answer stands before it";

/// Adds a row for a directive behind an answer, and those nested in it.
pub fn never_reached(directive: &Directive, report: &mut Report) {
    report.note(&directive.place, &directive.text(), Verdict::Ignored, NEVER_REACHED);
    directive.inside().iter().for_each(|inner| never_reached(inner, report));
}

/// Converts one block and those nested in it.
pub fn location(
    block: &Directive,
    wider: &Settings,
    scope: &Scope<'_>,
    draft: &mut Draft,
    report: &mut Report,
) {
    let (settings, others) = wider.below(block.inside(), report);
    let mut has_methods = false;
    match conditions(&block.args) {
        Err(why) => report.note(&block.place, &block.text(), Verdict::NotHere, why),
        Ok((conditions, note)) => {
            let verdict = if note.is_empty() { Verdict::Same } else { Verdict::Differs };
            report.note(&block.place, &block.text(), verdict, note);
            let prefix = block.args.last().map_or("/", String::as_str);
            let has_action = others.iter().any(|it| {
                matches!(it.name.as_str(), "return" | "rewrite" | "proxy_pass" | "location" | "if")
            });
            let found = action(&others, &settings, Some(prefix), scope, draft, report);
            let nested = others.iter().any(|it| it.name == "location");
            if !has_action && !settings.denies_everybody() {
                report.note(
                    &block.place,
                    &block.text(),
                    Verdict::NotHere,
                    "404 where it would look for a file or ask another program",
                );
            }
            if let Some(mut route) = found.filter(|route| !(nested && route.contains_key("respond"))) {
                scope.add_hosts(&mut route);
                route.extend(conditions.clone());
                if let Some(except) = others.iter().find(|it| it.name == "limit_except") {
                    // The route for the other methods; its rows were already added above.
                    let (for_others, _) = settings.below(except.inside(), report);
                    let rest =
                        action(&others, &for_others, Some(prefix), scope, draft, &mut Report::default());
                    if let Some(mut rest) = rest {
                        scope.add_hosts(&mut rest);
                        rest.extend(conditions);
                        draft.route(rest, &except.place, &except.text());
                    }
                    put(&mut route, "methods", methods_of(except));
                    has_methods = true;
                    report.note(&except.place, &except.text(), Verdict::Same, "");
                }
                draft.route(route, &block.place, &block.text());
            }
        }
    }
    for directive in others {
        match directive.name.as_str() {
            "location" => location(directive, &settings, scope, draft, report),
            "proxy_pass" | "return" | "rewrite" => {}
            "limit_except" if has_methods => {}
            _ if on_top::take(directive, draft, report) => {}
            _ => words::note(directive, report),
        }
    }
}

/// The methods allowed by the location; GET implies HEAD.
fn methods_of(except: &Directive) -> Vec<String> {
    let mut methods = except.args.clone();
    if methods.iter().any(|method| method == "GET") && !methods.iter().any(|method| method == "HEAD") {
        methods.push("HEAD".to_owned());
    }
    methods
}

/// The action for requests: the first `return` or `rewrite` that determines it counts, and then `proxy_pass`.
/// `prefix` is the location's.
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
    let is_late = |directive: &&&Directive| directive.name == "proxy_pass";
    let in_order = block.iter().filter(|it| !is_late(it)).chain(block.iter().filter(is_late));
    for directive in in_order {
        match directive.name.as_str() {
            "return" | "rewrite" | "proxy_pass" if found.is_some() => {
                report.note(&directive.place, &directive.text(), Verdict::Ignored, NEVER_REACHED);
            }
            "return" => found = returned(directive, settings, report),
            "rewrite" => match prefix_taken_off(&directive.args).filter(|_| prefix.is_some()) {
                Some(prefix) => {
                    report.note(&directive.place, &directive.text(), Verdict::Same, "strip_prefix");
                    stripped = Some(prefix);
                }
                None => found = rewritten(directive, settings, report),
            },
            "proxy_pass" => found = passed(directive, settings, prefix, scope, draft, report),
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
