//! `dns` and `backends[].addresses`: how names are looked up, and how their addresses are used.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::error::quoted;
use super::raw::{Fields, Value};
use super::read::{duration, duration_or_zero, list, text};
use super::{Addresses, BackendUrl, names, url, write};

const PORT: u16 = 53;
const SERVER: &str = r#"a server's address such as "10.0.0.53" or "127.0.0.1:5353""#;
const SERVERS: &str = r#"a list of servers such as ["10.0.0.53"], or null for the system's"#;

/// Settings for DNS lookups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsConfig {
    /// The servers to query; `None` means those of the system's resolv.conf.
    pub servers: Option<Vec<SocketAddr>>,
    /// Time limit for each server.
    #[serde(serialize_with = "write::duration")]
    pub timeout: Duration,
    /// The earliest time after which a name is looked up again, however short a record's TTL is.
    #[serde(serialize_with = "write::duration")]
    pub min_ttl: Duration,
}

impl Default for DnsConfig {
    fn default() -> DnsConfig {
        DnsConfig { servers: None, timeout: Duration::from_secs(1), min_ttl: Duration::from_secs(1) }
    }
}

/// Reads `dns`.
pub(super) fn dns(fields: &Fields<'_>) -> DnsConfig {
    let default = DnsConfig::default();
    DnsConfig {
        servers: fields.nullable("servers", default.servers, |value| {
            let servers = list(SERVERS, text(SERVER, server))(value)?;
            match servers.is_empty() && value.items().is_some_and(|items| items.is_empty()) {
                true => Err(format!("names nobody; write {SERVERS}")),
                false => Ok(servers),
            }
        }),
        timeout: fields.value("timeout", default.timeout, duration),
        min_ttl: fields.value("min_ttl", default.min_ttl, duration_or_zero),
    }
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::from((ip, PORT))).or_else(|_| text.parse());
    address
        .ok()
        .filter(|address| address.port() > 0)
        .ok_or_else(|| format!("{} is not a server's address; write {SERVER}", quoted(text)))
}

/// Reads `addresses` of a backend with this URL.
pub(super) fn addresses(fields: &Fields<'_>, known: Option<&BackendUrl>) -> Addresses {
    fields.value("addresses", Addresses::One, |value: &Value<'_>| {
        let mode = text(names::ADDRESSES, names::addresses)(value)?;
        let host = match known {
            Some(BackendUrl::Http { host, .. } | BackendUrl::Https { host, .. }) => Some(host),
            _ => None,
        };
        let is_name = host.is_some_and(|host| host.parse::<IpAddr>().is_err());
        match (mode, known) {
            (Addresses::One, _) | (_, None) => Ok(mode),
            _ if !is_name => {
                Err("of no effect: the URL has no name that could have several addresses; leave it out"
                    .to_owned())
            }
            (Addresses::Srv, _) if fields.get("url").is_some_and(|value| has_port(&value)) => {
                Err("the ports come from the records; write the URL without one".to_owned())
            }
            _ => Ok(mode),
        }
    })
}

fn has_port(value: &Value<'_>) -> bool {
    let text = text(url::BACKEND_URL, |text| Ok(text.to_owned()))(value).unwrap_or_default();
    let authority = text.split_once("://").map_or("", |(_, rest)| rest).trim_end_matches('/').to_owned();
    url::host_and_port(&authority).is_ok_and(|(_, port)| port.is_some())
}
