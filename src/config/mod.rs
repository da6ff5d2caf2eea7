//! The configuration, validated and complete: no `Option` that means "default", no string that means a
//! number. [`load()`] is the only entry, for start, reload and `check` alike.
//!
//! Each object of the file has its own module here, with its type, its defaults and its reading; writing is
//! derived from the types. `raw` walks the JSON text, and `resolve` builds a `Config` from it and collects
//! all mistakes. No code here touches a socket, looks up a name or reads the environment: `cli` passes in the
//! overrides and the variables.

mod address;
mod admin;
mod as_text;
mod backend;
mod breaker;
mod compress;
mod dns;
mod document;
mod error;
mod file;
mod health_check;
mod htpasswd;
mod kinds;
mod limits;
mod listen;
mod load;
mod logs;
mod names;
mod pages;
mod policy;
mod pool;
mod rate_limit;
mod raw;
mod read;
mod remarks;
mod resolve;
mod retry;
mod route;
mod secret;
mod syntax;
mod template;
mod timeouts;
mod tls;
mod units;
mod url;
mod variables;
mod write;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

pub use admin::AdminConfig;
pub use backend::BackendConfig;
pub use breaker::{BreakerConfig, BreakerPatch};
pub use compress::CompressConfig;
pub use dns::DnsConfig;
pub use error::{ConfigErrors, Mistake};
pub use file::read_regular;
pub use health_check::HealthCheckConfig;
pub use htpasswd::users as htpasswd_users;
pub use kinds::{
    Addresses, Algorithm, HashKey, HealthCheckKind, HostHeader, StatusRanges, TlsVersion, Unmatched,
};
pub use limits::Limits;
pub use listen::{ListenAddress, MOST_LISTENERS};
pub use load::{Overrides, load, load_again, look_over, parse};
pub use logs::{AccessField, AccessLogConfig, EventLogConfig, LogFormat};
pub use pages::Pages;
pub use policy::{HeaderRules, Local, NamedFile};
pub use pool::PoolConfig;
pub use rate_limit::{RateLimit, RateLimitPatch};
pub use retry::{RetryConfig, RetryPatch};
pub use route::{Access, Action, BasicAuth, ForwardAuth, PathMatch, Route};
pub use template::{Piece, Placeholder, Template};
pub use timeouts::Timeouts;
pub use tls::{CertificateConfig, TlsConfig};
pub use units::write_duration;
pub use url::BackendUrl;
pub use variables::Variables;

/// A complete, valid configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// The listening addresses; never empty.
    #[serde(serialize_with = "write::one_or_several")]
    pub listen: Vec<ListenAddress>,
    /// Number of worker threads, which is the number of requests handled at once.
    pub workers: usize,
    /// The pool `default`, whose settings are at the top level.
    #[serde(flatten)]
    pub default_pool: PoolConfig,
    /// The named pools, in the file's order.
    #[serde(serialize_with = "pool::by_name")]
    pub pools: Vec<PoolConfig>,
    /// Which requests go to which pool.
    pub routes: Vec<Route>,
    /// What happens to requests that no route matches.
    pub unmatched: Unmatched,
    /// When a request may be retried.
    pub retry: RetryConfig,
    /// All time limits.
    pub timeouts: Timeouts,
    /// All limits of sizes and numbers.
    pub limits: Limits,
    /// The token bucket of each client; `None` if switched off.
    #[serde(serialize_with = "write::switched")]
    pub rate_limit: Option<RateLimit>,
    /// The circuit breaker of each backend; `None` if switched off.
    #[serde(serialize_with = "write::switched")]
    pub circuit_breaker: Option<BreakerConfig>,
    /// How names are looked up.
    pub dns: DnsConfig,
    /// How long a backend that has come back takes to get its full weight; zero means at once.
    #[serde(serialize_with = "write::duration")]
    pub slow_start: Duration,
    /// The key for the values of sticky cookies; `None` makes them a plain digest.
    pub sticky_key: Option<String>,
    /// Peers whose `X-Forwarded-For` and `X-Request-ID` are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The `Host` field sent to backends.
    pub host_header: HostHeader,
    /// Header rules, and error pages for our own answers.
    #[serde(flatten)]
    pub local: Local,
    /// Whether our name is added to `Via`; otherwise a field of our own detects loops.
    pub via: bool,
    /// Who may read the balancer's own pages on the public listeners.
    pub pages: Pages,
    /// Which answers are compressed; `None` means none.
    pub compress: Option<CompressConfig>,
    /// The log with a line per request.
    #[serde(serialize_with = "logs::written")]
    pub access_log: AccessLogConfig,
    /// The log with a line per event.
    pub event_log: EventLogConfig,
    /// Whether the plain listener uses the front; otherwise tiny_http accepts there.
    pub front: bool,
    /// Whether connections to the plain listener begin with a PROXY header; implies the front.
    pub proxy_protocol: bool,
    /// Who may send a PROXY header to either listener; `None` means everybody.
    pub proxy_protocol_from: Option<Vec<IpNet>>,
    /// The TLS listener.
    pub tls: Option<TlsConfig>,
    /// The admin listener.
    pub admin: Option<AdminConfig>,
}

/// The built-in defaults. `config.json` at the top of the repository writes out the same values; a test
/// compares the two.
impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)))],
            workers: 256,
            default_pool: PoolConfig::default(),
            pools: Vec::new(),
            routes: Vec::new(),
            unmatched: Unmatched::Default,
            retry: RetryConfig::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            rate_limit: None,
            circuit_breaker: Some(BreakerConfig::default()),
            dns: DnsConfig::default(),
            slow_start: Duration::ZERO,
            sticky_key: None,
            trusted_proxies: loopback(),
            host_header: HostHeader::Preserve,
            local: Local::default(),
            via: true,
            pages: Pages::private(),
            compress: None,
            access_log: AccessLogConfig::default(),
            event_log: EventLogConfig::default(),
            front: true,
            proxy_protocol: false,
            proxy_protocol_from: None,
            tls: None,
            admin: None,
        }
    }
}

/// The loopback networks, 127.0.0.0/8 and ::1.
fn loopback() -> Vec<IpNet> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    vec![IpNet::V4(v4), IpNet::V6(Ipv6Net::from(Ipv6Addr::LOCALHOST))]
}

impl Config {
    /// The pool `default`, then the named ones.
    pub fn all_pools(&self) -> impl Iterator<Item = &PoolConfig> {
        std::iter::once(&self.default_pool).chain(&self.pools)
    }
}
