//! Other programs try rules in their own order, we use the most specific route: reports where this makes a
//! difference.

use super::expression;
use serde_json::Value as Json;

use super::draft::{DraftRoute, Object};
use super::report::{Report, Verdict};

/// Above this number of routes, only the first ones are compared, which is reported.
const MOST_COMPARED: usize = 300;

/// Reports each route that takes precedence here over an earlier one.
pub fn compare(routes: &[DraftRoute], report: &mut Report) {
    if routes.len() > MOST_COMPARED {
        let note = format!("the most specific one wins here; the first {MOST_COMPARED} were compared");
        report.unsaid("the order of routes", Verdict::Differs, note);
    }
    for (number, later) in routes.iter().enumerate().take(MOST_COMPARED) {
        let first = routes[..number].iter().find(|earlier| {
            meet(&earlier.fields, &later.fields) && specificity(&later.fields) > specificity(&earlier.fields)
        });
        if let Some(earlier) = first.filter(|earlier| earlier.fields.get("pool") != later.fields.get("pool"))
        {
            let note = format!(
                "here the most specific route wins, there what stands before: line {}",
                earlier.place.line
            );
            report.note(&later.place, &later.name, Verdict::Differs, note);
        }
    }
}

/// Specificity as ordered by `rules`: host, path, further conditions.
fn specificity(route: &Object) -> (u8, u8, usize, usize) {
    let host = match hosts(route).first() {
        None => 0,
        Some(host) if host.starts_with("*.") => 1,
        Some(_) => 2,
    };
    let text = |name: &str| route.get(name).and_then(Json::as_str).map_or(0, str::len);
    let (kind, length) = match () {
        () if route.contains_key("path_exact") => (2, text("path_exact")),
        () if route.contains_key("path_regex") => (1, 0),
        () => (0, text("path").max(1)),
    };
    let count = |name: &str| route.get(name).and_then(Json::as_object).map_or(0, |it| it.len());
    (host, kind, length, usize::from(route.contains_key("methods")) + count("headers") + count("query"))
}

/// The hosts of a route; empty for any.
pub fn hosts(route: &Object) -> Vec<&str> {
    match route.get("host") {
        Some(Json::String(host)) => vec![host],
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether a request can match both routes.
fn meet(one: &Object, other: &Object) -> bool {
    hosts_meet(one, other) && paths_meet(one, other)
}

/// Whether a host can match both routes.
pub fn hosts_meet(one: &Object, other: &Object) -> bool {
    hosts(one).is_empty() || hosts(other).is_empty() || !common_hosts(one, other).is_empty()
}

/// The hosts that match both routes; empty for any, or if there are none.
pub fn common_hosts<'o>(one: &'o Object, other: &'o Object) -> Vec<&'o str> {
    let is_for = |wanted: &str, host: &str| {
        wanted == host || wanted.strip_prefix('*').is_some_and(|end| host.ends_with(end))
    };
    match (hosts(one), hosts(other)) {
        (left, right) if left.is_empty() || right.is_empty() => [left, right].concat(),
        (left, right) => {
            let both = left.iter().filter(|host| right.iter().any(|wanted| is_for(wanted, host)));
            let narrower = right.iter().filter(|host| left.iter().any(|wanted| is_for(wanted, host)));
            let mut common: Vec<&str> = Vec::new();
            for host in both.chain(narrower) {
                if !common.contains(host) {
                    common.push(host);
                }
            }
            common
        }
    }
}

/// Whether a path can match both routes.
pub fn paths_meet(one: &Object, other: &Object) -> bool {
    let text = |route: &Object, name: &str| route.get(name).and_then(Json::as_str).map(str::to_owned);
    if let (Some(left), Some(right)) = (text(one, "path_exact"), text(other, "path_exact")) {
        return left == right;
    }
    if one.contains_key("path_regex") || other.contains_key("path_regex") {
        return expressions_meet(one, other);
    }
    let path = |route: &Object| {
        text(route, "path_exact").or_else(|| text(route, "path")).unwrap_or_else(|| "/".into())
    };
    let is_below = |path: &str, prefix: &str| {
        let prefix = prefix.trim_end_matches('/');
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (left, right) = (path(one), path(other));
    is_below(&left, &right) || is_below(&right, &left)
}

fn expressions_meet(one: &Object, other: &Object) -> bool {
    let text = |route: &Object, name: &str| route.get(name).and_then(Json::as_str).map(str::to_owned);
    let (expression, plain) = if one.contains_key("path_regex") { (one, other) } else { (other, one) };
    let expression = text(expression, "path_regex").unwrap_or_default();
    if let Some(path) = text(plain, "path_exact") {
        return expression::read(&expression).is_some_and(|regex| regex.is_match(&path));
    }
    let (Some(start), Some(path)) = (literal_start(&expression), text(plain, "path")) else { return true };
    start.starts_with(&path) || path.starts_with(&start)
}

/// The literal beginning of all paths that `^/img/[0-9]+` or the like matches.
fn literal_start(expression: &str) -> Option<String> {
    let text = expression.strip_prefix('^')?;
    let end = text.find(['[', '(', '.', '*', '+', '?', '{', '|', '\\', '$']).unwrap_or(text.len());
    // A quantifier makes the preceding character optional; an alternative replaces it.
    let end = match text[end..].chars().next() {
        Some('*' | '?' | '{') => end.saturating_sub(1),
        Some('|') => return None,
        _ => end,
    };
    (!text.contains('|')).then(|| text.get(..end).unwrap_or_default().to_owned())
}

/// Whether every path that matches `inner` also matches `outer`, as far as can be determined.
pub fn path_is_within(inner: &Object, outer: &Object) -> bool {
    let text = |route: &Object, name: &str| route.get(name).and_then(Json::as_str).map(str::to_owned);
    for kind in ["path_exact", "path_regex"] {
        if outer.contains_key(kind) {
            return inner.get(kind) == outer.get(kind);
        }
    }
    let outer = text(outer, "path").unwrap_or_default();
    let outer = outer.trim_end_matches('/');
    let inner = text(inner, "path_exact").or_else(|| text(inner, "path")).unwrap_or_default();
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
