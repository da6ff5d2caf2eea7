//! Every default, written once. `config.json` at the top of the repository is the same in the file's
//! own words; a test holds the two together.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    AccessLogConfig, Addresses, Algorithm, BackendConfig, BackendUrl, BreakerConfig, Config, DnsConfig,
    EventLogConfig, HashKey, HealthCheckConfig, HealthCheckKind, HostHeader, Limits, ListenAddress, Local,
    Pages, PoolConfig, RateLimit, RetryConfig, StatusRanges, Timeouts, TlsVersion, Unmatched,
};

const KIB: usize = 1024;

/// Longer than the 60 s for which the usual cloud balancers keep an idle connection to us: whoever closes
/// first must be the one that sends, or its next request meets a connection that is being closed. nginx's
/// default, too.
const CLIENT_IDLE: Duration = Duration::from_secs(75);

/// Name of the pool of the top-level backends.
pub(super) const POOL_NAME: &str = "default";

/// What holds without any file.
pub(super) fn config() -> Config {
    Config {
        listen: vec![ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)))],
        workers: 256,
        default_pool: pool(),
        pools: Vec::new(),
        routes: Vec::new(),
        unmatched: Unmatched::Default,
        retry: retry(),
        timeouts: timeouts(),
        limits: limits(),
        rate_limit: None,
        circuit_breaker: Some(breaker()),
        dns: DnsConfig { servers: None, timeout: Duration::from_secs(1), min_ttl: Duration::from_secs(1) },
        slow_start: Duration::ZERO,
        sticky_key: None,
        trusted_proxies: trusted_proxies(),
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

pub(super) fn pool() -> PoolConfig {
    let local = |port| backend(BackendUrl::Http { host: "localhost".to_string(), port });
    PoolConfig {
        name: POOL_NAME.to_string(),
        algorithm: Algorithm::RoundRobin,
        hash_key: HashKey::Client,
        sticky_cookie: None,
        backends: vec![local(3001), local(3002), local(3003)],
        health_check: health_check(),
        local: Local::default(),
    }
}

pub(super) fn backend(url: BackendUrl) -> BackendConfig {
    BackendConfig {
        url,
        weight: 1,
        max_connections: None,
        backup: false,
        ca: None,
        addresses: Addresses::One,
    }
}

pub(super) fn health_check() -> HealthCheckConfig {
    HealthCheckConfig {
        kind: HealthCheckKind::Http,
        path: "/health".to_string(),
        port: None,
        host: None,
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        expect_status: StatusRanges(vec![(200, 399)]),
        expect_body: None,
    }
}

pub(super) fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 2,
        delay: Duration::from_millis(50),
        on_status: Vec::new(),
        non_idempotent: false,
        buffer_body_bytes: 64 * KIB,
        budget_percent: 20,
    }
}

pub(super) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        request: Duration::from_secs(10),
        stream: Duration::from_secs(300),
        backend_idle: Duration::from_secs(4),
        queue: Duration::from_secs(5),
        client_header: Duration::from_secs(10),
        client_body: Duration::from_secs(30),
        client_idle: CLIENT_IDLE,
        client_write: Duration::from_secs(30),
        pre_drain: Duration::ZERO,
        drain: Duration::from_secs(30),
        resolve: Duration::from_secs(30),
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        max_connections: 4096,
        max_connections_per_ip: None,
        max_queue: 1024,
        max_streams: 1024,
        max_header_bytes: 32 * KIB,
        max_body_bytes: None,
        max_idle_per_backend: 128,
    }
}

/// What a rate limit is once it is switched on.
/// What a rate limit is where nothing is said of it.
pub fn rate_limit() -> RateLimit {
    RateLimit { requests_per_second: 100.0, burst: 200 }
}

/// What a breaker is while it is not switched off.
/// What a breaker is where nothing is said of it.
pub fn breaker() -> BreakerConfig {
    BreakerConfig {
        failures: 5,
        window: Duration::from_secs(10),
        cooldown: Duration::from_secs(30),
        on_status: Vec::new(),
    }
}

/// TLS before it is broken (RFC 8996).
pub(super) const TLS_MIN_VERSION: TlsVersion = TlsVersion::Tls12;

/// Where TLS clients connect, once there are certificates.
pub(super) fn tls_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443))
}

/// Where the admin listener is, once there is one.
pub(super) fn admin_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))
}

/// This machine: 127.0.0.0/8 and ::1.
fn trusted_proxies() -> Vec<IpNet> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    vec![IpNet::V4(v4), IpNet::V6(Ipv6Net::from(Ipv6Addr::LOCALHOST))]
}
