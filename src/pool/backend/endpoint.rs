//! One address of a configured name, where each address is a backend of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use super::core::{Backend, Kept};
use crate::config::{BackendConfig, BackendUrl};

/// Largest weight of a backend, the same limit as in the configuration.
const MAX_WEIGHT: u64 = 65_535;

/// An address to connect to, with what DNS and the configuration say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// The URL whose host is used in `Host` and for TLS: the configured one, or that of an SRV record's target.
    pub url: BackendUrl,
    /// The weight in the SRV record, at least 1; 1 for an address without one.
    pub weight: u16,
    /// Whether the SRV record's priority makes the address a backup.
    pub is_backup: bool,
}

impl Endpoint {
    /// The backend's name in logs and metrics: its URL with the address as host, so it is the same in every
    /// balancer.
    pub fn name(&self) -> String {
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        let url = match self.url {
            BackendUrl::Https { .. } => BackendUrl::Https { host, port },
            _ => BackendUrl::Http { host, port },
        };
        url.to_string()
    }

    /// The configuration of this address, derived from the name's entry.
    fn configured(&self, entry: &BackendConfig) -> BackendConfig {
        let weight = u64::from(entry.weight) * u64::from(self.weight);
        BackendConfig {
            url: self.url.clone(),
            weight: weight.min(MAX_WEIGHT) as u32,
            backup: entry.backup || self.is_backup,
            ..entry.clone()
        }
    }
}

impl Backend {
    /// The backend for one address of this configuration entry.
    pub fn at(endpoint: &Endpoint, entry: &BackendConfig, sticky_key: Option<&str>) -> Backend {
        let kept = Arc::new(Kept::new(endpoint.name(), entry.url.to_string()));
        kept.addresses.set(&[endpoint.address]);
        Backend { is_endpoint: true, ..Backend::over(kept, endpoint.configured(entry), sticky_key) }
    }

    /// The same backend with a newer configuration or record, for which [`Backend::is_at`] must hold. Does
    /// not change this one.
    pub fn successor_at(
        &self,
        endpoint: &Endpoint,
        entry: &BackendConfig,
        sticky_key: Option<&str>,
    ) -> Backend {
        let kept = Arc::clone(&self.kept);
        Backend { is_endpoint: true, ..Backend::over(kept, endpoint.configured(entry), sticky_key) }
    }

    /// Whether this backend is the given address of the given entry.
    pub fn is_at(&self, endpoint: &Endpoint, entry: &BackendConfig) -> bool {
        self.is_endpoint
            && self.ca == entry.ca
            && self.url == endpoint.url
            && *self.kept.addresses.get() == [endpoint.address]
            && self.kept.configured == entry.url.to_string()
    }

    /// Whether it is one address of a configured name.
    pub fn is_endpoint(&self) -> bool {
        self.is_endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    #[test]
    fn it_is_called_by_its_address_and_asked_by_its_name() {
        let text = r#"{ "backends": [ { "url": "https://app.example.com:8443", "weight": 3, "addresses": "each" } ] }"#;
        let entry = parse(text, &Overrides::default()).unwrap().default_pool.backends.remove(0);
        let endpoint = Endpoint {
            address: "[2001:db8::7]:8443".parse().unwrap(),
            url: entry.url.clone(),
            weight: 30_000,
            is_backup: true,
        };
        let backend = Backend::at(&endpoint, &entry, None);
        assert_eq!(backend.name(), "https://[2001:db8::7]:8443");
        assert_eq!(backend.configured_name(), "https://app.example.com:8443");
        assert_eq!(backend.authority(), "app.example.com:8443");
        assert_eq!((backend.weight(), backend.is_backup()), (65_535, true));
        assert!(backend.is_at(&endpoint, &entry));
        let other = Endpoint { address: "[2001:db8::8]:8443".parse().unwrap(), ..endpoint };
        assert!(!backend.is_at(&other, &entry));
    }
}
