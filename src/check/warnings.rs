//! Warnings about consequences of a valid configuration that are probably unintended. Each is one line with
//! the field and the consequence; none makes `check` fail.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{listener, routing};
use crate::config::{BackendUrl, Config, HealthCheckKind, PoolConfig, write_duration};
use crate::descriptors;

/// The warnings for this configuration on this machine.
pub fn of(config: &Config) -> Vec<String> {
    let mut found = open_files(config, descriptors::available());
    found.extend(trusted_by_all(config));
    found.extend(open_to_strangers(config));
    found.extend(routing::warnings(config));
    for pool in config.all_pools() {
        found.extend(slow_probes(pool));
        found.extend(probe_ports(pool));
        found.extend(backups_only(pool));
        found.extend(own_listeners(config, pool));
    }
    found
}

fn open_files(config: &Config, available: u64) -> Vec<String> {
    let (wanted, possible) = (config.limits.max_connections, descriptors::connections_for(available, config));
    let warning = || {
        format!(
            "limits.max_connections {wanted} is more than the limit of {available} open files is enough for; \
             it will be lowered to {possible}"
        )
    };
    if possible < wanted { vec![warning()] } else { Vec::new() }
}

fn trusted_by_all(config: &Config) -> Vec<String> {
    let is_everybody = |network: &&ipnet::IpNet| network.prefix_len() == 0;
    let warning = |network: &ipnet::IpNet| {
        format!(
            "trusted_proxies has {network}, which is everybody: any client can say that it is another one \
             (X-Forwarded-For), to logs, rate limits and hashes"
        )
    };
    config.trusted_proxies.iter().filter(is_everybody).map(warning).collect()
}

/// tiny_http is for trusted networks, and only loopback certainly is one.
fn open_to_strangers(config: &Config) -> Option<String> {
    let is_tiny = !config.front && !config.proxy_protocol;
    let is_open = |address: &SocketAddr| !address.ip().is_loopback();
    let open = config.listen.iter().filter_map(|listen| listen.tcp()).find(is_open)?;
    is_tiny.then(|| {
        format!(
            "front false on {open}: tiny_http reads requests there, and has no limits of time, size or number; only \
             for networks in which all clients are trusted"
        )
    })
}

/// Each backend is probed by only one probe at a time.
fn slow_probes(pool: &PoolConfig) -> Option<String> {
    let (interval, timeout) = (pool.health_check.interval, pool.health_check.timeout);
    let is_asked = pool.health_check.kind != HealthCheckKind::None;
    (is_asked && interval < timeout).then(|| {
        let (interval, timeout) = (write_duration(interval), write_duration(timeout));
        format!(
            "{} {interval} is shorter than its timeout {timeout}: a backend that hangs is probed every \
             {timeout} only",
            pool.path_of("health_check.interval")
        )
    })
}

/// If a pool has only Unix sockets and sets a port itself, that is a mistake. Here it has other backends,
/// too, or the port is inherited from the top level.
fn probe_ports(pool: &PoolConfig) -> Vec<String> {
    let Some(port) = pool.health_check.port else { return Vec::new() };
    let sockets = pool.backends.iter().map(|it| &it.url).enumerate();
    let sockets = sockets.filter(|(_, url)| matches!(url, BackendUrl::Unix { .. }));
    let warning = |(index, url): (usize, &BackendUrl)| {
        let field = pool.path_of("health_check.port");
        let backend = pool.path_of(&format!("backends[{index}].url"));
        format!("{field} {port} is of no effect for {backend} {url}, which has no port: its socket is probed")
    };
    sockets.map(warning).collect()
}

/// If no backend has a weight, that is a mistake.
fn backups_only(pool: &PoolConfig) -> Option<String> {
    let takes_none = pool.backends.iter().filter(|it| !it.backup).all(|it| it.weight == 0);
    (takes_none && !pool.backends.is_empty())
        .then(|| format!("{}: only backups take requests, every other weight is 0", pool.path_of("backends")))
}

fn own_listeners(config: &Config, pool: &PoolConfig) -> Vec<String> {
    let warning = |(index, url): (usize, &BackendUrl)| {
        let mut addresses = literal_addresses(url).into_iter();
        let listener = addresses.find_map(|it| listener::at(config, it, listener::is_this_machine))?;
        Some(format!("{} {}", pool.path_of(&format!("backends[{index}].url")), loops(url, listener)))
    };
    pool.backends.iter().map(|it| &it.url).enumerate().filter_map(warning).collect()
}

/// The consequence of a backend that is one of our own listeners.
pub(super) fn loops(url: &BackendUrl, listener: &str) -> String {
    format!(
        "{url} is this balancer's own `{listener}`: what is sent there comes back and is refused with 508"
    )
}

/// The addresses that are known without looking up a name.
fn literal_addresses(url: &BackendUrl) -> Vec<SocketAddr> {
    let (BackendUrl::Http { host, port } | BackendUrl::Https { host, port }) = url else { return Vec::new() };
    let ips: Vec<IpAddr> = match host.as_str() {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        host => host.parse().into_iter().collect(),
    };
    ips.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    /// Checks the warnings for this text, without the one about open files, which depends on the machine.
    fn check(text: &str, expected: &[&str]) {
        let found = of(&parse(text, &Overrides::default()).unwrap());
        let found: Vec<_> = found.iter().filter(|it| !it.starts_with("limits.max_connections")).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn each_consequence_has_its_line() {
        check("{}", &[]);
        check(r#"{"front": false}"#, &["front false on 0.0.0.0:8080: tiny_http reads requests there"]);
        check(r#"{"front": false, "listen": "127.0.0.1:80"}"#, &[]);
        check(
            r#"{ "health_check": { "interval": "1s" } }"#,
            &["health_check.interval 1s is shorter than its timeout 3s"],
        );
        check(
            r#"{ "trusted_proxies": ["0.0.0.0/0", "::/0", "10.0.0.0/8"] }"#,
            &["trusted_proxies has 0.0.0.0/0", "trusted_proxies has ::/0"],
        );
        check(
            r#"{ "backends": [ { "url": "http://a", "weight": 0 }, { "url": "http://b", "backup": true } ] }"#,
            &["backends: only backups take requests"],
        );
        check(
            r#"{ "backends": [ { "url": "http://a" }, { "url": "http://localhost:8080" } ] }"#,
            &["backends[1].url http://localhost:8080 is this balancer's own `listen`"],
        );
    }

    #[test]
    fn what_looks_active_and_is_not_is_told() {
        let api = r#""pools": { "api": { "backends": [ { "url": "http://a" } ] } }"#;
        check(
            r#"{ "unmatched": 404, "pools": { "api": { "backends": [ { "url": "http://a" } ] } },
                 "routes": [ { "path": "/v1", "pool": "api" } ] }"#,
            &[],
        );
        check(
            r#"{ "unmatched": 404, "backends": [ { "url": "http://a" } ] }"#,
            &["backends get no requests: no route leads to \"default\""],
        );
        check(&format!("{{ {api} }}"), &["pools.api gets no requests: no route leads to it"]);
        check(
            &format!(r#"{{ {api}, "routes": [ {{ "path": "/v1/*", "pool": "api" }} ] }}"#),
            &["routes[0].path \"/v1/*\" is for a path with a star in it and no other"],
        );
        check(
            &format!(r#"{{ {api}, "routes": [ {{ "path_exact": "/v1/*", "pool": "api" }} ] }}"#),
            &[
                "routes[0].path_exact \"/v1/*\" is for a path with a star in it and no other; \"path\" is for all that is \
               below it: write \"path\": \"/v1\"",
            ],
        );
        check(
            r#"{ "listen": "192.0.2.1:80", "admin": { "listen": "127.0.0.1:80" } }"#,
            &["admin.listen 127.0.0.1:80 has the port of `listen`, 192.0.2.1:80"],
        );
    }

    #[test]
    fn a_probe_s_port_is_nothing_to_a_socket() {
        check(
            r#"{ "health_check": { "port": 9 }, "backends": [ { "url": "http://a" }, { "url": "unix:/a" } ],
                 "pools": { "api": { "backends": [ { "url": "unix:/b" } ] } },
                 "routes": [ { "path": "/b", "pool": "api" } ] }"#,
            &[
                "health_check.port 9 is of no effect for backends[1].url unix:/a",
                "pools.api.health_check.port 9 is of no effect for pools.api.backends[0].url unix:/b",
            ],
        );
    }

    #[test]
    fn named_pools_have_their_own() {
        check(
            r#"{ "pools": { "api": { "backends": [ { "url": "http://127.0.0.1:8080" } ],
                 "health_check": { "timeout": "20s" } } }, "routes": [ { "path": "/b", "pool": "api" } ] }"#,
            &["pools.api.health_check.interval 10s", "pools.api.backends[0].url"],
        );
    }

    #[test]
    fn too_few_open_files_are_told_with_what_is_possible() {
        let config = parse("{}", &Overrides::default()).unwrap();
        assert_eq!(open_files(&config, 1_000_000), Vec::<String>::new());
        let found = open_files(&config, 1024).remove(0);
        assert!(
            found.contains("4096") && found.contains("1024 open files") && found.contains("432"),
            "{found}"
        );
    }
}
