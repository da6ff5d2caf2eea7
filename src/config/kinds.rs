//! Enumerations whose values have names in a configuration; `names` reads and writes the names.

use serde::{Serialize, Serializer};

/// How a backend is chosen. The variants are named as in the configuration.
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

/// The input of the hash algorithms.
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

/// How the addresses of a backend's name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// `one`: all addresses lead to one backend and are used in turn.
    One,
    /// `each`: each address is a backend.
    Each,
    /// `srv`: each SRV record of the name is a backend.
    Srv,
}

/// The kinds of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// A GET whose status is in `expect_status`.
    Http,
    /// A TCP connection that can be opened.
    Tcp,
    /// No probes; every backend counts as healthy.
    None,
}

/// `"200-299,301"`: inclusive ranges of status codes. `Display` writes the same form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `1.2`
    Tls12,
    /// `1.3`
    Tls13,
}

/// The `Host` field sent to backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// `preserve`: what the client sent.
    Preserve,
    /// `backend`: the backend's own host and port.
    Backend,
    /// A configured host.
    Fixed(String),
}

/// What happens to requests that no route matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// `"default"`: they go to the top-level backends.
    Default,
    /// They are refused with this status, 404 or 421.
    Refused(u16),
}

impl Serialize for Unmatched {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Unmatched::Default => to.serialize_str("default"),
            Unmatched::Refused(status) => to.serialize_u16(*status),
        }
    }
}
