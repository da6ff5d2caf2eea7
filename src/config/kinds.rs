//! The values that have names of their own in a configuration. `names` reads and writes them.

use serde::{Serialize, Serializer};

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

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `1.2`
    Tls12,
    /// `1.3`
    Tls13,
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

/// What becomes of requests that no route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// `"default"`: the top-level backends get them.
    Default,
    /// They are answered with this status, 404 or 421.
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
