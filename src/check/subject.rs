//! The backends to probe.

use std::net::SocketAddr;

use crate::config::{Addresses, BackendConfig, Config, PoolConfig};
use crate::names::resolver;
use crate::pool::Endpoint;

/// One backend to probe.
pub(super) struct Subject<'a> {
    pub pool: &'a PoolConfig,
    /// With the URL by which it is requested.
    pub backend: BackendConfig,
    /// The name in the report.
    pub label: String,
    /// The address if it was looked up already, or why that failed.
    pub address: Option<Result<SocketAddr, String>>,
}

/// The backends of a configuration entry: one, or one for each address of its name.
pub(super) fn subjects<'a>(config: &Config, pool: &'a PoolConfig, entry: &BackendConfig) -> Vec<Subject<'a>> {
    let found = match entry.addresses {
        Addresses::One => {
            let label = entry.url.to_string();
            return vec![Subject { pool, backend: entry.clone(), label, address: None }];
        }
        Addresses::Each => resolver::each(&entry.url, &config.dns),
        Addresses::Srv => resolver::srv(&entry.url, &config.dns),
    };
    match found {
        Err(why) => {
            let label = entry.url.to_string();
            vec![Subject { pool, backend: entry.clone(), label, address: Some(Err(why)) }]
        }
        Ok(found) => {
            let subject = |endpoint: Endpoint| Subject {
                pool,
                label: format!("{} of {}", endpoint.name(), entry.url),
                address: Some(Ok(endpoint.address)),
                backend: BackendConfig { url: endpoint.url, ..entry.clone() },
            };
            found.endpoints.into_iter().map(subject).collect()
        }
    }
}
