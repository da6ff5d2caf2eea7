//! Resolves a name, by the operating system or by asking name servers.
//!
//! Addresses come from the system (getaddrinfo), so that `/etc/hosts` and `nsswitch.conf` apply, unless the
//! configuration names DNS servers. The system provides neither TTLs nor SRV records, so name servers are
//! asked directly for those.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::dns::{self, Answer, DnsError, Kind, Record};
use crate::config::{BackendUrl, DnsConfig};
use crate::pool::Endpoint;
use crate::transport::look_up;

/// The system's list of name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// How often each server is asked before a look-up fails.
const ROUNDS: usize = 2;
/// Most addresses of a name that are used.
pub const MAX_ENDPOINTS: usize = 256;

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Sorted, so that all balancers have the same order; at most [`MAX_ENDPOINTS`].
    pub endpoints: Vec<Endpoint>,
    /// How many addresses exceed that limit.
    pub left_out: usize,
    /// How long the answer is valid, if known.
    pub ttl: Option<Duration>,
}

/// Servers to ask, and the names to ask for.
struct Asked {
    servers: Vec<SocketAddr>,
    /// Fully qualified names, in the order to try.
    names: Vec<String>,
    limit: Duration,
}

/// The addresses of this name, each with the URL's port.
///
/// # Errors
/// Why the look-up failed, for people.
pub fn each(url: &BackendUrl, config: &DnsConfig) -> Result<Found, String> {
    let (BackendUrl::Http { host, port } | BackendUrl::Https { host, port }) = url else {
        return Err("a socket's path has no address".to_owned());
    };
    let asked = Asked::of(host, config);
    let (addresses, ttl) = match &config.servers {
        Some(_) => asked.addresses().map(|(all, ttl)| (all, Some(ttl)))?,
        None => {
            let all = look_up(url).map_err(|error: io::Error| error.to_string())?;
            let all: Vec<IpAddr> = all.into_iter().map(|address| address.ip()).collect();
            let ttl = asked.ttl_of(&all);
            (all, ttl)
        }
    };
    let endpoint = |ip: IpAddr| Endpoint {
        address: SocketAddr::from((ip, *port)),
        url: url.clone(),
        weight: 1,
        is_backup: false,
    };
    Ok(Found::of(addresses.into_iter().map(endpoint).collect(), ttl))
}

/// The services of this name: every address of every target.
///
/// # Errors
/// Why the look-up failed, for people.
pub fn srv(url: &BackendUrl, config: &DnsConfig) -> Result<Found, String> {
    let (BackendUrl::Http { host, .. } | BackendUrl::Https { host, .. }) = url else {
        return Err("a socket's path has no services".to_owned());
    };
    let answer = Asked::of(host, config).first(Kind::Srv).map_err(|failure| failure.to_string())?;
    let mut services: Vec<(u16, u16, u16, String)> = answer.records.into_iter().filter_map(service).collect();
    services.sort();
    services.dedup();
    // Bounds the look-ups; each service has an address at least.
    let services_left_out = services.len().saturating_sub(MAX_ENDPOINTS);
    services.truncate(MAX_ENDPOINTS);
    let best = services.first().map(|(priority, ..)| *priority);
    let (mut endpoints, mut ttl, mut last) = (Vec::new(), answer.ttl, None);
    for (priority, weight, port, target) in services {
        let addresses = match target.parse::<IpAddr>() {
            Ok(literal) => Ok((vec![literal], answer.ttl)),
            Err(_) => Asked::of(&format!("{target}."), config).addresses(),
        };
        let (addresses, target_ttl) = match addresses {
            Ok(found) => found,
            Err(why) => {
                last = Some(format!("{target}: {why}"));
                continue;
            }
        };
        ttl = ttl.min(target_ttl);
        let url = with_host(url, target, port);
        endpoints.extend(addresses.into_iter().map(|ip| Endpoint {
            address: SocketAddr::from((ip, port)),
            url: url.clone(),
            // RFC 2782: a service of weight 0 gets few requests, but not none.
            weight: weight.max(1),
            is_backup: Some(priority) != best,
        }));
    }
    match last {
        // A partial answer counts as a failure: the missing addresses would appear to have left.
        Some(why) => Err(why),
        None if endpoints.is_empty() => Err("the records name no service".to_owned()),
        None => {
            let found = Found::of(endpoints, Some(ttl));
            Ok(Found { left_out: found.left_out + services_left_out, ..found })
        }
    }
}

/// A target of `.` means that the service does not exist (RFC 2782).
fn service(record: Record) -> Option<(u16, u16, u16, String)> {
    match record {
        Record::Service { priority, weight, port, target } if !target.is_empty() && port > 0 => {
            Some((priority, weight, port, target))
        }
        _ => None,
    }
}

fn with_host(url: &BackendUrl, host: String, port: u16) -> BackendUrl {
    match url {
        BackendUrl::Https { .. } => BackendUrl::Https { host, port },
        _ => BackendUrl::Http { host, port },
    }
}

impl Found {
    fn of(mut endpoints: Vec<Endpoint>, ttl: Option<Duration>) -> Found {
        // Of several records for one address, the best one counts.
        endpoints.sort_by_key(|it| (it.address.is_ipv6(), it.address, it.is_backup, u16::MAX - it.weight));
        endpoints.dedup_by_key(|it| it.address);
        let left_out = endpoints.len().saturating_sub(MAX_ENDPOINTS);
        endpoints.truncate(MAX_ENDPOINTS);
        Found { endpoints, left_out, ttl }
    }
}

impl Asked {
    fn of(name: &str, config: &DnsConfig) -> Asked {
        let system = std::fs::read(RESOLV_CONF).unwrap_or_default();
        let (system, _) = resolv_conf::Config::parse_with_errors(&system);
        let servers = config.servers.clone().unwrap_or_else(|| {
            let all = system.get_nameservers_or_local().into_iter();
            all.map(|server| SocketAddr::from((IpAddr::from(server), PORT))).collect()
        });
        let search: Vec<String> = system.get_last_search_or_domain().cloned().collect();
        let names = names(name, &search, system.ndots);
        Asked { servers, names, limit: config.timeout }
    }

    /// The answer for the first of the names that exists.
    fn first(&self, kind: Kind) -> Result<Answer, DnsError> {
        let mut failure = DnsError::NoSuchName;
        for name in &self.names {
            match self.ask(name, kind) {
                Ok(answer) => return Ok(answer),
                // `NoRecord` says more than that another of the names does not exist.
                Err(DnsError::NoSuchName) => {}
                Err(other @ DnsError::NoRecord) => failure = other,
                Err(other) => return Err(other),
            }
        }
        Err(failure)
    }

    fn ask(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let mut failure = DnsError::Unreachable("none is configured".to_owned());
        for server in (0..ROUNDS).flat_map(|_| &self.servers) {
            match dns::ask(*server, name, kind, self.limit) {
                Err(
                    other @ (DnsError::Server(_)
                    | DnsError::TimedOut
                    | DnsError::Unreachable(_)
                    | DnsError::Malformed),
                ) => {
                    failure = other;
                }
                said => return said,
            }
        }
        Err(failure)
    }

    /// The addresses of both families. One family may be empty, but if it can't be looked up the whole
    /// look-up fails: otherwise half of the addresses would appear to have left.
    fn addresses(&self) -> Result<(Vec<IpAddr>, Duration), String> {
        let (mut all, mut ttl, mut is_any_name) = (Vec::new(), Duration::MAX, false);
        for kind in [Kind::A, Kind::Aaaa] {
            match self.first(kind) {
                Ok(answer) => {
                    ttl = ttl.min(answer.ttl);
                    all.extend(answer.records.into_iter().filter_map(|record| match record {
                        Record::Address(ip) => Some(ip),
                        Record::Service { .. } => None,
                    }));
                }
                Err(DnsError::NoRecord) => is_any_name = true,
                Err(DnsError::NoSuchName) => {}
                Err(failure) => return Err(failure.to_string()),
            }
        }
        match all.is_empty() {
            true if is_any_name => Err("the name has no address".to_owned()),
            true => Err(DnsError::NoSuchName.to_string()),
            false => Ok((all, ttl)),
        }
    }

    /// The TTL of these addresses, if a name server knows any of them. They may come from elsewhere
    /// (`/etc/hosts`).
    fn ttl_of(&self, addresses: &[IpAddr]) -> Option<Duration> {
        let kind = if addresses.iter().any(IpAddr::is_ipv4) { Kind::A } else { Kind::Aaaa };
        let answer = self.first(kind).ok()?;
        let is_known = |record: &Record| matches!(record, Record::Address(ip) if addresses.contains(ip));
        answer.records.iter().any(is_known).then_some(answer.ttl)
    }
}

/// The fully qualified names that a name may stand for, in the system's order (resolv.conf(5), `search` and
/// `ndots`).
fn names(name: &str, search: &[String], ndots: u32) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let absolute = format!("{name}.");
    let mut names: Vec<String> =
        search.iter().map(|domain| format!("{name}.{}.", domain.trim_end_matches('.'))).collect();
    let has_enough_dots = name.matches('.').count() >= ndots as usize;
    names.insert(if has_enough_dots { 0 } else { names.len() }, absolute);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tried_in_the_systems_order() {
        let search = ["ns.svc.cluster.local".to_owned(), "example.com.".to_owned()];
        let check = |name: &str, ndots, expected: &[&str]| assert_eq!(names(name, &search, ndots), expected);
        check("app", 1, &["app.ns.svc.cluster.local.", "app.example.com.", "app."]);
        check("app.other", 5, &["app.other.ns.svc.cluster.local.", "app.other.example.com.", "app.other."]);
        check("app.other", 1, &["app.other.", "app.other.ns.svc.cluster.local.", "app.other.example.com."]);
        check("app.example.com.", 5, &["app.example.com."]);
    }

    #[test]
    fn localhost_is_the_systems_to_tell() {
        let config =
            DnsConfig { servers: None, timeout: Duration::from_millis(100), min_ttl: Duration::ZERO };
        let url = BackendUrl::Http { host: "localhost".into(), port: 3001 };
        let found = each(&url, &config).unwrap();
        assert_eq!(found.endpoints[0].address, "127.0.0.1:3001".parse().unwrap());
        assert_eq!(found.endpoints[0].name(), "http://127.0.0.1:3001");
    }

    #[test]
    fn the_rest_beyond_the_most_is_counted_and_the_best_record_of_an_address_counts() {
        let url = BackendUrl::Http { host: "a".into(), port: 80 };
        let one = |number: u32, weight, is_backup| Endpoint {
            address: (std::net::Ipv4Addr::from_bits(number), 80).into(),
            url: url.clone(),
            weight,
            is_backup,
        };
        let many = (0..300).rev().map(|number| one(number, 1, false));
        let found = Found::of(many.chain([one(7, 9, false), one(8, 9, true)]).collect(), None);
        assert_eq!((found.endpoints.len(), found.left_out), (MAX_ENDPOINTS, 44));
        assert_eq!(found.endpoints[7], one(7, 9, false));
        assert_eq!(found.endpoints[8], one(8, 1, false));
    }
}
