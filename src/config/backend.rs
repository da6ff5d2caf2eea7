//! `backends`: the servers that requests are forwarded to.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde::Serialize;

use super::error::quoted;
use super::limits::MOST_CONNECTIONS;
use super::raw::{Fields, Scalar};
use super::read::{CA_WITHOUT_TLS, boolean, pem_file, text, whole};
use super::{Addresses, BackendUrl, dns, url};

const WEIGHT: RangeInclusive<u32> = 0..=65_535;
const BACKENDS: &str = r#"a list such as [ { "url": "http://localhost:3001" } ]"#;
pub(super) const EMPTY: &str = r#"empty; write a list such as [ { "url": "http://localhost:3001" } ]"#;

/// One backend as configured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackendConfig {
    /// The backend's URL.
    pub url: BackendUrl,
    /// Its share of the requests, 1 or more; with 0 it takes none.
    pub weight: u32,
    /// Limit of concurrent requests.
    pub max_connections: Option<u32>,
    /// Used only if no other backend of the pool is usable.
    pub backup: bool,
    /// How the addresses of its name are used.
    #[serde(skip_serializing_if = "is_one")]
    pub addresses: Addresses,
    /// A PEM file with root certificates, used instead of the system's; for `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// Most backends have the default, which is not written.
fn is_one(addresses: &Addresses) -> bool {
    *addresses == Addresses::One
}

impl BackendConfig {
    /// A backend with defaults for everything but its URL.
    pub fn at(url: BackendUrl) -> BackendConfig {
        BackendConfig {
            url,
            weight: 1,
            max_connections: None,
            backup: false,
            addresses: Addresses::One,
            ca: None,
        }
    }
}

/// Reads `backends`.
pub(super) fn backends(fields: &Fields<'_>, default: &[BackendConfig]) -> Vec<BackendConfig> {
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
            // Other programs write backends as strings. The string may contain a password, so it is not
            // shown.
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

/// Reads one backend. `places` maps the URLs of earlier backends to their indices.
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
        Some(BackendUrl::Https { .. }) | None => pem_file(value),
        _ => Err(CA_WITHOUT_TLS.to_string()),
    });
    let addresses = dns::addresses(fields, url.as_ref());
    let default = BackendConfig::at(url.unwrap_or_else(unreadable));
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

/// Stands for a URL that was already reported as wrong; no valid URL has an empty host.
fn unreadable() -> BackendUrl {
    BackendUrl::Http { host: String::new(), port: 0 }
}
