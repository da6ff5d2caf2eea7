//! Which requests go to which pool.

use std::collections::{HashMap, HashSet};

use super::listeners::not_null;
use super::pools::{PATH, path};
use crate::config::error::quoted;
use crate::config::raw::{Fields, Value};
use crate::config::read::text;
use crate::config::{PoolConfig, Route, defaults, url};

const POOL: &str = r#"the name of a pool, such as "default""#;
const HOST: &str = r#"a host such as "api.example.com" or "*.example.com", or null"#;

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
        let first = *places.entry((route.host.clone(), route.path.clone())).or_insert(index);
        if first != index {
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
    let host = match fields.get("host").filter(not_null) {
        Some(value) => value.read(text(HOST, host)).map(Some),
        None => Some(None),
    };
    let path = match fields.get("path") {
        Some(value) => value.read(text(PATH, route_path)),
        None => Some(defaults::ROUTE_PATH.to_string()),
    };
    let pool = fields.required("pool", POOL, text(POOL, known));
    Some(Route { host: host?, path: path?, pool: pool? })
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
