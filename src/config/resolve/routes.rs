//! Reads the routes and reports those that match the same requests.

use std::collections::{HashMap, HashSet};

use super::actions;
use crate::config::backend::EMPTY;
use crate::config::error::quoted;
use crate::config::names;
use crate::config::policy;
use crate::config::raw::{Fields, Scalar, Value};
use crate::config::read::{PATH, list, not_null, path, text};
use crate::config::{Config, PathMatch, PoolConfig, Route, Unmatched, pool, url};

const HOST: &str = r#"a host such as "api.example.com" or "*.example.com", a list of them, or null"#;
const UNMATCHED: &str = r#""default", or the status 404 or 421"#;
const METHODS: &str = r#"a list of methods such as ["GET", "HEAD"]"#;
const CONDITIONS: &str = r#"an object such as { "X-Version": "2", "X-Debug": null }"#;
const REGEX: &str = r#"a regular expression such as "^/v[0-9]+/""#;
/// Memory limit for a compiled regular expression.
const MOST_REGEX_BYTES: usize = 1 << 20;

/// Reads the routes; each goes to one of `pools` or the pool `default`, or has its own answer.
pub(super) fn routes(fields: &Fields<'_>, pools: &[PoolConfig]) -> Vec<Route> {
    let Some(value) = fields.get("routes") else { return Vec::new() };
    let Some(items) = value.items() else {
        value.mistake(value.wrong_type(r#"a list such as [ { "path": "/v1", "pool": "api" } ]"#));
        return Vec::new();
    };
    let names: HashSet<&str> = pools.iter().map(|pool| pool.name.as_str()).chain([pool::DEFAULT]).collect();
    let mut places = HashMap::new();
    let one = |(index, item): (usize, &Value<'_>)| {
        let route = item.object(|fields| route(fields, &names))?;
        let hosts: Vec<Option<String>> = match route.hosts.is_empty() {
            true => vec![None],
            false => route.hosts.iter().cloned().map(Some).collect(),
        };
        let conditions = format!("{:?}{:?}{:?}{:?}", route.path, route.methods, route.headers, route.query);
        let one_place = |host| *places.entry((host, conditions.clone())).or_insert(index);
        if let Some(first) = hosts.into_iter().map(one_place).find(|first| *first != index) {
            item.mistake(format!("for the same requests as routes[{first}]; keep one of them"));
        }
        Some(route)
    };
    items.iter().enumerate().filter_map(one).collect()
}

/// Reads one route; `None` if a mistake was added.
fn route(fields: &Fields<'_>, pools: &HashSet<&str>) -> Option<Route> {
    let hosts = match fields.get("host").filter(not_null) {
        Some(value) => hosts(&value),
        None => Some(Vec::new()),
    };
    let path = path_match(fields);
    let methods = fields.get("methods").map_or(Some(Vec::new()), |value| value.read(methods));
    let headers = conditions(fields, "headers", |name| match names::is_token(name) {
        true => Ok(()),
        false => Err(format!("{} is not a field's name", quoted(name))),
    });
    let query = conditions(fields, "query", |_| Ok(()));
    let access = actions::access(fields);
    let prefix = |name| fields.get(name).filter(not_null).map(|value| value.read(text(PATH, route_path)));
    let (strip_prefix, add_prefix) = (prefix("strip_prefix"), prefix("add_prefix"));
    let action = actions::action(fields, pools);
    // All fields are read before returning early; otherwise the unread ones would be reported as unknown.
    let local = policy::local(fields);
    Some(Route {
        hosts: hosts?,
        path: path?,
        methods: methods?,
        headers,
        query,
        access,
        strip_prefix: strip_prefix.flatten().filter(|path| path != "/"),
        add_prefix: add_prefix.flatten().filter(|path| path != "/"),
        action: action?,
        local,
    })
}

/// Reads one of the three fields for the path.
fn path_match(fields: &Fields<'_>) -> Option<PathMatch> {
    let ways = [fields.get("path"), fields.get("path_exact"), fields.get("path_regex")];
    if let Some(second) = ways.iter().flatten().nth(1) {
        second.mistake("a second word on the path; write one of path, path_exact and path_regex");
        return None;
    }
    match ways {
        [Some(value), ..] => value.read(text(PATH, route_path)).map(PathMatch::Prefix),
        [_, Some(value), _] => value.read(text(PATH, exact_path)).map(PathMatch::Exact),
        [.., Some(value)] => value.read(text(REGEX, regex)).map(PathMatch::Regex),
        [..] => Some(PathMatch::default()),
    }
}

fn regex(text: &str) -> Result<String, String> {
    match regex::RegexBuilder::new(text).size_limit(MOST_REGEX_BYTES).build() {
        Ok(_) => Ok(text.to_owned()),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(format!("{} is too large; write a simpler one", quoted(text)))
        }
        Err(error) => {
            // The library shows the position on several lines; the last line has the reason.
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("{} is no regular expression: {why}", quoted(text)))
        }
    }
}

fn methods(value: &Value<'_>) -> Result<Vec<String>, String> {
    let method = |text: &str| match names::is_token(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("{} is not a method; write {METHODS}", quoted(text))),
    };
    let methods = list(METHODS, text("a method such as \"GET\"", method))(value)?;
    let is_empty = value.items().is_some_and(|items| items.is_empty());
    if is_empty { Err(format!("an empty list; write {METHODS}")) } else { Ok(methods) }
}

/// Reads names with their required values; `null` means that the name must be absent.
fn conditions(
    fields: &Fields<'_>,
    name: &'static str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Vec<(String, Option<String>)> {
    let Some(value) = fields.get(name) else { return Vec::new() };
    if !matches!(value.scalar(), Scalar::Object) {
        value.mistake(value.wrong_type(CONDITIONS));
        return Vec::new();
    }
    let read = |(name, value): &(&str, Value<'_>)| {
        let wanted = match value.scalar() {
            Scalar::Null => Ok(None),
            Scalar::Text(text) => Ok(Some(text)),
            _ => Err(value.wrong_type("a text, or null for absent")),
        };
        match check(name).and(wanted) {
            Ok(wanted) => Some(((*name).to_owned(), wanted)),
            Err(why) => {
                value.mistake(why);
                None
            }
        }
    };
    value.object(|fields| fields.all().iter().filter_map(read).collect())
}

/// Reads one host, or a list without duplicates.
fn hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let Some(items) = value.items() else {
        return value.read(text(HOST, host)).map(|host| vec![host]);
    };
    if items.is_empty() {
        value.mistake(format!("an empty list; write {HOST}"));
        return None;
    }
    let read: Vec<Option<String>> = items.iter().map(|item| item.read(text(HOST, host))).collect();
    for (index, item) in items.iter().enumerate() {
        if let Some(host) = read[index].as_ref().filter(|_| read[..index].contains(&read[index])) {
            item.mistake(format!("{} is in the list already", quoted(host)));
        }
    }
    read.into_iter().collect()
}

/// Reads what happens to requests that no route matches.
pub(super) fn unmatched(value: &Value<'_>) -> Result<Unmatched, String> {
    match value.scalar() {
        Scalar::Text(text) if text == pool::DEFAULT => Ok(Unmatched::Default),
        Scalar::Number("404") => Ok(Unmatched::Refused(404)),
        Scalar::Number("421") => Ok(Unmatched::Refused(421)),
        _ => Err(value.wrong_type(UNMATCHED)),
    }
}

/// Checks whether the top level may have no backends: only if no request can get there, because unmatched
/// requests are refused or a route matches everything.
pub(super) fn check_strays(fields: &Fields<'_>, config: &mut Config) {
    let is_refused = matches!(config.unmatched, Unmatched::Refused(_));
    let to_default = config.routes.iter().position(|route| route.leads_to(pool::DEFAULT));
    if is_refused && to_default.is_none() && fields.get("backends").is_none() {
        // No request can get to its default backends.
        config.default_pool.backends.clear();
    }
    let Some(value) = fields.get("backends") else { return };
    if !value.items().is_some_and(|items| items.is_empty()) {
        return;
    }
    match to_default {
        Some(index) => value.mistake(format!("empty, and routes[{index}] leads to them; write one or more")),
        None if is_refused && !config.routes.is_empty() => {}
        None if config.routes.iter().any(Route::takes_all) => {}
        None if config.routes.is_empty() => value.mistake(EMPTY),
        None => value.mistake(
            "empty, and requests that no route takes are for them; write one or more, a route without host and path, \
             or \"unmatched\": 404",
        ),
    }
}

fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    match url::host_name(name) {
        // The root's dot says nothing; requests lose it as well.
        Ok(_) => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
        Err(_) => Err(format!("{} is not a host; write {HOST}", quoted(text))),
    }
}

/// Routes match whole segments, so a final slash has no meaning.
fn route_path(text: &str) -> Result<String, String> {
    let path = exact_path(text)?;
    match path.trim_end_matches('/') {
        "" => Ok("/".to_string()),
        trimmed => Ok(trimmed.to_string()),
    }
}

fn exact_path(text: &str) -> Result<String, String> {
    let path = path(text)?;
    match path.contains('?') {
        true => Err(format!("{} has a query, and routes go by the path alone; see \"query\"", quoted(text))),
        false => Ok(path),
    }
}
