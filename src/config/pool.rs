//! A pool: backends and how to choose among them. The top level of the file is the pool `default`, the others
//! are under `pools`.

use serde::{Serialize, Serializer};

use super::backend::backends;
use super::health_check::health_check;
use super::raw::{Fields, Value};
use super::read::text;
use super::{Algorithm, BackendConfig, BackendUrl, HashKey, HealthCheckConfig, Local, names, policy};

/// Name of the pool at the top level.
pub(super) const DEFAULT: &str = "default";

/// A set of backends and how to choose among them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolConfig {
    /// `default` for the top-level backends.
    #[serde(skip)]
    pub name: String,
    /// How a backend is chosen.
    pub algorithm: Algorithm,
    /// What the hash algorithms hash.
    pub hash_key: HashKey,
    /// Name of the cookie that keeps a client with its backend.
    pub sticky_cookie: Option<String>,
    /// In the file's order, without duplicate URLs; empty only at the top level, if no request can get there.
    pub backends: Vec<BackendConfig>,
    /// How backends are probed.
    pub health_check: HealthCheckConfig,
    /// Settings of this pool alone; for the pool `default` they are at the top level.
    #[serde(flatten)]
    pub local: Local,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        let local = |port| BackendConfig::at(BackendUrl::Http { host: "localhost".to_string(), port });
        PoolConfig {
            name: DEFAULT.to_string(),
            algorithm: Algorithm::RoundRobin,
            hash_key: HashKey::Client,
            sticky_cookie: None,
            backends: vec![local(3001), local(3002), local(3003)],
            health_check: HealthCheckConfig::default(),
            local: Local::default(),
        }
    }
}

impl PoolConfig {
    /// The path of one of this pool's fields, for messages: `pools.api.backends`.
    pub fn path_of(&self, field: &str) -> String {
        match self.name.as_str() {
            DEFAULT => field.to_owned(),
            name => format!("pools.{name}.{field}"),
        }
    }
}

/// Writes the named pools as in the file.
pub(super) fn by_name<S: Serializer>(pools: &[PoolConfig], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pools.iter().map(|pool| (&pool.name, pool)))
}

/// Reads one pool. Fields left out are as in `parent`, which for named pools has no backends. Whether the top
/// level's list may be empty is checked in [`super::resolve`].
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

/// Reports a probe port for a pool whose backends have no ports.
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

/// Reads `pools`; fields left out are as in the pool `default`.
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
    if name == DEFAULT {
        return Err("\"default\" is the pool of the top-level backends; choose another name");
    }
    match name.is_empty() || !name.chars().all(plain) {
        true => Err("not a pool's name; use letters, digits, _ and -"),
        false => Ok(()),
    }
}
