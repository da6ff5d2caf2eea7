//! What the balancer was told to do, checked and complete: no `Option` that means "default", no
//! string that means a number. [`load()`] is the one way in, for start, reload and `check` alike.
//!
//! `raw` is what the file says, `defaults` each default once, `resolve` turns the one into the other
//! and finds all mistakes at once. Nothing here touches a socket, looks up a name or reads the
//! environment (`cli` does that and passes the overrides and its variables in).

mod address;
mod bounds;
mod compress;
mod defaults;
mod dns;
mod document;
mod error;
mod file;
mod htpasswd;
mod listen;
mod load;
mod logs;
mod names;
mod pages;
mod policy;
mod raw;
mod read;
mod remarks;
mod resolve;
mod route;
mod syntax;
mod template;
mod units;
mod url;
mod variables;
mod write;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

pub use compress::CompressConfig;
pub use defaults::{breaker as default_breaker, rate_limit as default_rate_limit};
pub use error::{ConfigErrors, Mistake};
pub use file::read_regular;
pub use htpasswd::users as htpasswd_users;
pub use listen::{ListenAddress, MOST_LISTENERS};
pub use load::{Overrides, load, load_again, look_over, parse};
pub use logs::{AccessField, AccessLogConfig, EventLogConfig, LogFormat};
pub use pages::Pages;
pub use policy::{BreakerPatch, HeaderRules, Local, NamedFile, RateLimitPatch, RetryPatch};
pub use route::{Access, Action, BasicAuth, ForwardAuth, PathMatch, Route};
pub use template::{Piece, Placeholder, Template};
pub use units::write_duration;
pub use variables::Variables;

/// A whole, valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect; never empty.
    pub listen: Vec<ListenAddress>,
    /// Threads that handle requests: the requests that wait for a backend at once.
    pub workers: usize,
    /// The top-level backends, known as the pool `default`.
    pub default_pool: PoolConfig,
    /// The named pools, in the file's order.
    pub pools: Vec<PoolConfig>,
    /// Which requests go to which named pool.
    pub routes: Vec<Route>,
    /// What becomes of requests that no route takes.
    pub unmatched: Unmatched,
    /// When a request may be tried again.
    pub retry: RetryConfig,
    /// Every limit in time.
    pub timeouts: Timeouts,
    /// Every limit in size and number.
    pub limits: Limits,
    /// The token bucket a client; `None` when switched off.
    pub rate_limit: Option<RateLimit>,
    /// The circuit breaker a backend; `None` when switched off.
    pub circuit_breaker: Option<BreakerConfig>,
    /// How long a backend that came back takes to reach its full weight; zero is at once.
    pub slow_start: Duration,
    /// How names are looked up.
    pub dns: DnsConfig,
    /// The secret that sticky cookies are made with; `None` makes them a plain digest.
    pub sticky_key: Option<String>,
    /// Peers whose `X-Forwarded-For` and `X-Request-ID` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What the backend sees as `Host`.
    pub host_header: HostHeader,
    /// Rules about fields, and pages for our own answers.
    pub local: Local,
    /// Whether our name is added to `Via`; where not, a field of our own shows a loop.
    pub via: bool,
    /// Who may see the balancer's own pages on the public listeners.
    pub pages: Pages,
    /// Which answers are compressed; `None` is none.
    pub compress: Option<CompressConfig>,
    /// A line a request.
    pub access_log: AccessLogConfig,
    /// A line an event.
    pub event_log: EventLogConfig,
    /// Whether the plain listener stands behind the checking front.
    pub front: bool,
    /// Whether connections to the plain listener begin with a PROXY header; puts it behind the front.
    pub proxy_protocol: bool,
    /// Who may send a PROXY header, to either listener; `None` is everybody.
    pub proxy_protocol_from: Option<Vec<IpNet>>,
    /// The TLS listener.
    pub tls: Option<TlsConfig>,
    /// The admin listener.
    pub admin: Option<AdminConfig>,
}

/// A set of backends and how to choose among them.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// `default` for the top-level backends.
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
    pub local: Local,
}

/// One backend as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendConfig {
    /// Where it is.
    pub url: BackendUrl,
    /// Its share of the requests, 1 and up; 0 takes none.
    pub weight: u32,
    /// Most requests at once.
    pub max_connections: Option<u32>,
    /// Used only when no other backend of its pool can be.
    pub backup: bool,
    /// A PEM file that replaces the system's roots, for `https`.
    pub ca: Option<String>,
    /// What the addresses of its name are.
    pub addresses: Addresses,
}

/// What the addresses of a backend's name are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// `one`: ways to one backend, taken in turn.
    One,
    /// `each`: a backend each.
    Each,
    /// `srv`: what the SRV records of the name say, each a backend.
    Srv,
}

/// How names are looked up where the system's own way does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// Who is asked; `None` is the system's resolv.conf.
    pub servers: Option<Vec<SocketAddr>>,
    /// How long each of them gets.
    pub timeout: Duration,
    /// However short a record's time to live is, it is not asked for again sooner.
    pub min_ttl: Duration,
}

/// Where a backend is. `Display` writes it as `http://localhost:3001`, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendUrl {
    /// `http://host:port`; IPv6 literals in brackets. The port is 80 where the URL has none.
    Http {
        /// A name or a literal address, without brackets, lower-cased.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `https://host:port`; the port is 443 where the URL has none.
    Https {
        /// A name or a literal address, without brackets, lower-cased.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `unix:/path.sock`.
    Unix {
        /// Absolute path of the socket.
        path: String,
    },
}

/// How a backend is chosen. The names are the configuration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `round_robin`
    RoundRobin,
    /// `least_conn`
    LeastConn,
    /// `ip_hash`
    IpHash,
    /// `power_of_two`
    PowerOfTwo,
    /// `consistent_hash`
    ConsistentHash,
}

/// What the hash algorithms hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Client,
    /// The request's path, without the query.
    Path,
    /// `header:NAME`; the name is lower-cased.
    Header(String),
    /// `cookie:NAME`.
    Cookie(String),
}

/// How backends are probed.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheckConfig {
    /// What counts as passed.
    pub kind: HealthCheckKind,
    /// Request target of an HTTP probe; starts with `/`.
    pub path: String,
    /// Port to probe where it is not the backend's own.
    pub port: Option<u16>,
    /// `Host` of an HTTP probe where it is not the backend's own.
    pub host: Option<String>,
    /// From one probe's start to the next.
    pub interval: Duration,
    /// After this a probe has failed.
    pub timeout: Duration,
    /// Passed probes in a row that make a backend healthy.
    pub healthy_threshold: u32,
    /// Failed probes in a row that make a backend unhealthy.
    pub unhealthy_threshold: u32,
    /// Statuses that pass.
    pub expect_status: StatusRanges,
    /// Text that the first 64 KiB of the body must contain.
    pub expect_body: Option<String>,
}

/// The kinds of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// A GET whose status is in `expect_status`.
    Http,
    /// A connection that opens.
    Tcp,
    /// Nobody is asked, and every backend counts as healthy.
    None,
}

/// `"200-299,301"`: inclusive ranges of status codes. `Display` writes the same form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

/// What becomes of requests that no route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// `"default"`: the top-level backends get them.
    Default,
    /// They are answered with this status, 404 or 421.
    Refused(u16),
}

/// When a request may be tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryConfig {
    /// Attempts after the first.
    pub max_retries: u32,
    /// Wait before each retry.
    pub delay: Duration,
    /// Statuses of a backend that count as a failed attempt.
    pub on_status: Vec<u16>,
    /// Whether POST and PATCH are tried again after they were sent.
    pub non_idempotent: bool,
    /// Request bodies up to this size are kept for a retry.
    pub buffer_body_bytes: usize,
    /// Most retries in flight, in percent of the requests in flight.
    pub budget_percent: u32,
}

/// Every limit in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// To open a connection to a backend, all its addresses together.
    pub connect: Duration,
    /// One attempt up to the answer's head, then each wait for more of its body.
    pub request: Duration,
    /// Each wait for more of an event stream, or of an answer that has left the worker pool.
    pub stream: Duration,
    /// How long an idle connection to a backend is kept.
    pub backend_idle: Duration,
    /// How long a request waits for a worker.
    pub queue: Duration,
    /// From a head's first byte to its last.
    pub client_header: Duration,
    /// Each wait for more of a request's body.
    pub client_body: Duration,
    /// How long a kept-alive connection may be silent.
    pub client_idle: Duration,
    /// Each wait for a client to take more of an answer.
    pub client_write: Duration,
    /// How long `/lb-health` says 503 before the listener closes.
    pub pre_drain: Duration,
    /// The longest drain.
    pub drain: Duration,
    /// How often backend names are looked up again.
    pub resolve: Duration,
}

/// Every limit in size and number.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Client connections at once.
    pub max_connections: usize,
    /// Client connections at once from one address (an IPv6 /64 is one).
    pub max_connections_per_ip: Option<usize>,
    /// Requests that wait for a worker.
    pub max_queue: usize,
    /// Streams and tunnels outside the worker pool.
    pub max_streams: usize,
    /// A request's head.
    pub max_header_bytes: usize,
    /// A request's body.
    pub max_body_bytes: Option<u64>,
    /// Idle connections kept to each backend.
    pub max_idle_per_backend: usize,
}

/// A token bucket for each client address.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// Tokens that flow in each second; 0.00001 and up.
    pub requests_per_second: f64,
    /// What the bucket holds; 1 and up.
    pub burst: u32,
}

/// A circuit breaker for each backend.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerConfig {
    /// Failures in a row, or within `window`, that open it.
    pub failures: u32,
    /// See `failures`.
    pub window: Duration,
    /// How long it stays open before a trial.
    pub cooldown: Duration,
    /// Statuses that count as failures.
    pub on_status: Vec<u16>,
}

/// What the backend sees as `Host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// `preserve`: what the client sent.
    Preserve,
    /// `backend`: the backend's own host and port.
    Backend,
    /// This one.
    Fixed(String),
}

/// The TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Where TLS clients connect.
    pub listen: SocketAddr,
    /// The first is for clients that name no known host.
    pub certificates: Vec<CertificateConfig>,
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether the plain listener only redirects.
    pub redirect_http: bool,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `1.2`
    Tls12,
    /// `1.3`
    Tls13,
}

/// A certificate chain and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateConfig {
    /// Path of the chain.
    pub certificate: String,
    /// Path of the key.
    pub private_key: String,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What callers must send as a bearer token; required where `listen` is not loopback.
    pub token: Option<String>,
}
