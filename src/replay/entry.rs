//! What a line of a log says, whatever its format.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// A request that a backend was asked for, or that may have been.
    Request(Entry<'a>),
    /// Something else that belongs in a log: an event, a request to an endpoint, one that the server refused
    /// by itself.
    Other,
}

/// One request as the log tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// Since 1970: when it ended, where the latency is known, else when it began.
    pub at: Duration,
    /// Whether `at` is no finer than a second.
    pub is_whole_second: bool,
    /// How long it took, if the log says so.
    pub latency: Option<Duration>,
    /// Who asked.
    pub client: IpAddr,
    /// What `X-Forwarded-For` said, if the log says so.
    pub forwarded: Option<&'a str>,
    /// What for, with its query.
    pub target: Cow<'a, str>,
    /// Who answered, if the log says so.
    pub backend: Option<Cow<'a, str>>,
    /// The host that was asked for, if the log says so.
    pub host: Option<Cow<'a, str>>,
}
