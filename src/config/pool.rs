//! A pool: backends and how to choose among them. The top-level ones are the pool `default`, the others are under
//! `pools`.

use serde::{Serialize, Serializer};

use super::backend::backends;
use super::health_check::health_check;
use super::raw::{Fields, Value};
use super::read::text;
use super::{Algorithm, BackendConfig, BackendUrl, HashKey, HealthCheckConfig, Local, names, policy};

/// Name of the pool of the top-level backends.
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
    /// In the file's order; no URL twice; never empty but for the top level's, where no request can come to them.
    pub backends: Vec<BackendConfig>,
    /// How backends are probed.
    pub health_check: HealthCheckConfig,
    /// What else is said for it alone; for the pool `default` that is said on top.
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
    /// The path of one of its fields, for messages: `pools.api.backends`.
    pub fn path_of(&self, field: &str) -> String {
        match self.name.as_str() {
            DEFAULT => field.to_owned(),
            name => format!("pools.{name}.{field}"),
        }
    }
}

/// Writes the named pools as the file does.
pub(super) fn by_name<S: Serializer>(pools: &[PoolConfig], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pools.iter().map(|pool| (&pool.name, pool)))
}

/// One pool; what it doesn't say is as in `parent`, except that a named pool has its own backends. That the top
/// level's list is empty may be right, see [`super::resolve`].
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
    if name == DEFAULT {
        return Err("\"default\" is the pool of the top-level backends; choose another name");
    }
    match name.is_empty() || !name.chars().all(plain) {
        true => Err("not a pool's name; use letters, digits, _ and -"),
        false => Ok(()),
    }
}
