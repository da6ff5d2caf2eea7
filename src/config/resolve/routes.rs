//! Which requests go to which pool.

use std::collections::{HashMap, HashSet};

use super::listeners::not_null;
use super::pools::{EMPTY, PATH, path};
use crate::config::error::quoted;
use crate::config::raw::{Fields, Scalar, Value};
use crate::config::read::text;
use crate::config::{Config, PoolConfig, Route, Unmatched, defaults, url};

const POOL: &str = r#"the name of a pool, such as "default""#;
const HOST: &str = r#"a host such as "api.example.com" or "*.example.com", a list of them, or null"#;
const UNMATCHED: &str = r#""default", or the status 404 or 421"#;

/// The routes, each to one of `pools` or to the pool `default`.
pub(super) fn routes(fields: &Fields<'_>, pools: &[PoolConfig]) -> Vec<Route> {
    let Some(value) = fields.get("routes") else { return Vec::new() };
    let Some(items) = value.items() else {
        value.mistake(value.wrong_type(r#"a list such as [ { "path": "/v1", "pool": "api" } ]"#));
        return Vec::new();
    };
    let names: HashSet<&str> =
        pools.iter().map(|pool| pool.name.as_str()).chain([defaults::POOL_NAME]).collect();
    let mut places = HashMap::new();
    let one = |(index, item): (usize, &Value<'_>)| {
        let route = item.object(|fields| route(fields, &names))?;
        let hosts: Vec<Option<String>> = match route.hosts.is_empty() {
            true => vec![None],
            false => route.hosts.iter().cloned().map(Some).collect(),
        };
        let one_place = |host| *places.entry((host, route.path.clone())).or_insert(index);
        if let Some(first) = hosts.into_iter().map(one_place).find(|first| *first != index) {
            item.mistake(format!("the same host and path as routes[{first}]; keep one of them"));
        }
        Some(route)
    };
    items.iter().enumerate().filter_map(one).collect()
}

/// `None` where a mistake was added.
fn route(fields: &Fields<'_>, pools: &HashSet<&str>) -> Option<Route> {
    let known = |name: &str| match pools.contains(name) {
        true => Ok(name.to_string()),
        false => Err(format!("there is no pool {}; write it under \"pools\"", quoted(name))),
    };
    let hosts = match fields.get("host").filter(not_null) {
        Some(value) => hosts(&value),
        None => Some(Vec::new()),
    };
    let path = match fields.get("path") {
        Some(value) => value.read(text(PATH, route_path)),
        None => Some(defaults::ROUTE_PATH.to_string()),
    };
    let pool = fields.required("pool", POOL, text(POOL, known));
    Some(Route { hosts: hosts?, path: path?, pool: pool? })
}

/// One, or a list of them in which none is twice.
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

/// What becomes of requests that no route takes.
pub(super) fn unmatched(value: &Value<'_>) -> Result<Unmatched, String> {
    match value.scalar() {
        Scalar::Text(text) if text == defaults::POOL_NAME => Ok(Unmatched::Default),
        Scalar::Number("404") => Ok(Unmatched::Refused(404)),
        Scalar::Number("421") => Ok(Unmatched::Refused(421)),
        _ => Err(value.wrong_type(UNMATCHED)),
    }
}

/// No backends at the top level are right where no request can come to them: what no route takes is refused, or
/// there is nothing that no route takes.
pub(super) fn check_strays(fields: &Fields<'_>, config: &mut Config) {
    let is_refused = matches!(config.unmatched, Unmatched::Refused(_));
    let to_default = config.routes.iter().position(|route| route.pool == defaults::POOL_NAME);
    if is_refused && to_default.is_none() && fields.get("backends").is_none() {
        // Its defaults would be for nobody.
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
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err(format!("{} is not a host; write {HOST}", quoted(text))),
    }
}

/// Routes are compared by whole segments, so a final slash says nothing.
fn route_path(text: &str) -> Result<String, String> {
    let path = path(text)?;
    if path.contains('?') {
        return Err(format!("{} has a query, and routes go by the path alone", quoted(text)));
    }
    match path.trim_end_matches('/') {
        "" => Ok("/".to_string()),
        trimmed => Ok(trimmed.to_string()),
    }
}
