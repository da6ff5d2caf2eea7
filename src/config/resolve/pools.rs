//! Pools, their backends, and how those are probed.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::listeners::file_name;
use crate::config::bounds::{MOST_CONNECTIONS, THRESHOLD};
use crate::config::error::quoted;
use crate::config::raw::{Fields, Scalar, Value};
use crate::config::read::{boolean, duration, text, whole};
use crate::config::{
    BackendConfig, BackendUrl, HealthCheckConfig, Local, PoolConfig, defaults, dns, names, policy, units, url,
};

const WEIGHT: RangeInclusive<u32> = 0..=65_535;
const BACKENDS: &str = r#"a list such as [ { "url": "http://localhost:3001" } ]"#;
pub(super) const EMPTY: &str = r#"empty; write a list such as [ { "url": "http://localhost:3001" } ]"#;
pub(super) const PATH: &str = r#"a path such as "/health""#;
const HOST: &str = r#"a host such as "example.com", or null"#;
const BODY: &str = "text that a healthy answer contains, or null";

/// One pool; what it doesn't say is as in `parent`, except that a named pool has its own backends. That the top
/// level's list is empty may be right, see [`super::routes::check_strays`].
pub(super) fn pool(fields: &Fields<'_>, name: &str, parent: &PoolConfig) -> PoolConfig {
    PoolConfig {
        name: name.to_string(),
        algorithm: fields.value("algorithm", parent.algorithm, text(names::ALGORITHM, names::algorithm)),
        hash_key: fields.value("hash_key", parent.hash_key.clone(), text(names::HASH_KEY, names::hash_key)),
        sticky_cookie: fields.nullable(
            "sticky_cookie",
            parent.sticky_cookie.clone(),
            text(names::COOKIE_NAME, names::cookie_name),
        ),
        backends: backends(fields, &parent.backends),
        health_check: fields.object("health_check", |check| health_check(check, &parent.health_check)),
        local: Local::default(),
    }
}

/// A port that the pool asks for itself, where none of its backends has one.
pub(super) fn check_probe_port(fields: &Fields<'_>, pool: &PoolConfig) {
    let is_unix = |backend: &BackendConfig| matches!(backend.url, BackendUrl::Unix { .. });
    let is_for_none = !pool.backends.is_empty() && pool.backends.iter().all(is_unix);
    if let Some(check) = fields.get("health_check").filter(|check| is_for_none && check.has("port")) {
        check.mistake_in(
            "port",
            "of no effect: every backend of this pool is a Unix socket, which has no port; write null",
        );
    }
}

/// The pools under `pools`; what they don't say is as in the pool `default`.
pub(super) fn named(fields: &Fields<'_>, default: &PoolConfig) -> Vec<PoolConfig> {
    let parent = PoolConfig { backends: Vec::new(), ..default.clone() };
    fields.object("pools", |pools| {
        let one = |(name, value): (&str, Value<'_>)| {
            if let Err(message) = check_pool_name(name) {
                value.mistake(message);
            }
            value.object(|fields| {
                let pool = PoolConfig { local: policy::local(fields), ..pool(fields, name, &parent) };
                check_probe_port(fields, &pool);
                pool
            })
        };
        pools.all().into_iter().map(one).collect()
    })
}

fn check_pool_name(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name == defaults::POOL_NAME {
        return Err("\"default\" is the pool of the top-level backends; choose another name");
    }
    match name.is_empty() || !name.chars().all(plain) {
        true => Err("not a pool's name; use letters, digits, _ and -"),
        false => Ok(()),
    }
}

fn backends(fields: &Fields<'_>, default: &[BackendConfig]) -> Vec<BackendConfig> {
    let Some(value) = fields.get("backends") else {
        if default.is_empty() {
            fields.missing("backends", BACKENDS);
        }
        return default.to_vec();
    };
    let Some(items) = value.items() else {
        value.mistake(value.wrong_type(BACKENDS));
        return default.to_vec();
    };
    if items.is_empty() && default.is_empty() {
        value.mistake(EMPTY);
    }
    let mut places = HashMap::new();
    let backends: Vec<BackendConfig> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match item.scalar() {
            // As other programs write it. It may have a password in it.
            Scalar::Text(_) => {
                item.mistake(r#"found a string; write an object such as { "url": "http://localhost:3001" }"#);
                None
            }
            _ => Some(item.object(|fields| backend(fields, index, &mut places))),
        })
        .collect();
    if !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0) {
        value.mistake("every weight is 0, so none takes a request; write 1 or more for one of them");
    }
    backends
}

/// `places` are the URLs before this one, each with its index.
fn backend(fields: &Fields<'_>, index: usize, places: &mut HashMap<BackendUrl, usize>) -> BackendConfig {
    let url = fields.required("url", url::BACKEND_URL, |value| {
        let url = text(url::BACKEND_URL, BackendUrl::parse)(value)?;
        let first = *places.entry(url.clone()).or_insert(index);
        match first == index {
            true => Ok(url),
            false => {
                let url = quoted(&url.to_string());
                Err(format!("{url} is backends[{first}] already; give that one a weight instead"))
            }
        }
    });
    let ca = fields.nullable("ca", None, |value| match url {
        Some(BackendUrl::Https { .. }) | None => file_name(value),
        _ => Err("of no effect without https; write the URL with https://".to_string()),
    });
    let addresses = dns::addresses(fields, url.as_ref());
    let default = defaults::backend(url.unwrap_or_else(unreadable));
    BackendConfig {
        weight: fields.value("weight", default.weight, whole(WEIGHT)),
        max_connections: fields.nullable(
            "max_connections",
            default.max_connections,
            whole(1..=MOST_CONNECTIONS as u32),
        ),
        backup: fields.value("backup", default.backup, boolean),
        ca,
        addresses,
        url: default.url,
    }
}

/// Stands for a URL that was reported already; no real one has an empty host.
fn unreadable() -> BackendUrl {
    BackendUrl::Http { host: String::new(), port: 0 }
}

fn health_check(fields: &Fields<'_>, parent: &HealthCheckConfig) -> HealthCheckConfig {
    let parent = parent.clone();
    HealthCheckConfig {
        kind: fields.value("type", parent.kind, text(names::HEALTH_CHECK_KIND, names::health_check_kind)),
        path: fields.value("path", parent.path, text(PATH, path)),
        port: fields.nullable("port", parent.port, whole(1..=u16::MAX)),
        host: fields.nullable("host", parent.host, text(HOST, probe_host)),
        interval: fields.value("interval", parent.interval, duration),
        timeout: fields.value("timeout", parent.timeout, duration),
        healthy_threshold: fields.value("healthy_threshold", parent.healthy_threshold, whole(THRESHOLD)),
        unhealthy_threshold: fields.value(
            "unhealthy_threshold",
            parent.unhealthy_threshold,
            whole(THRESHOLD),
        ),
        expect_status: fields.value(
            "expect_status",
            parent.expect_status,
            text(units::STATUS_RANGES, units::status_ranges),
        ),
        expect_body: fields.nullable("expect_body", parent.expect_body, text(BODY, body_text)),
    }
}

fn body_text(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err(format!("empty; write {BODY}")),
        false => Ok(text.to_string()),
    }
}

/// A request target in origin form; it is sent as it is.
pub(super) fn path(text: &str) -> Result<String, String> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !text.starts_with('/') {
        return Err(format!("{} doesn't begin with /; write {PATH}", quoted(text)));
    }
    match visible {
        true => Ok(text.to_string()),
        false => {
            Err(format!("{} has a character that a path can't have; write such ones as %20", quoted(text)))
        }
    }
}

/// The value of a `Host` header, sent as it is.
fn probe_host(text: &str) -> Result<String, String> {
    match url::host_and_port(text) {
        Ok(_) => Ok(text.to_string()),
        Err(_) => Err(format!("{} is not a host; write {HOST}", quoted(text))),
    }
}
