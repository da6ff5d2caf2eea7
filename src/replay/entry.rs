//! The content of a log line, in any format.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

/// The kinds of line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// A request that was sent to a backend, or may have been.
    Request(Entry<'a>),
    /// Another line that belongs in a log: an event, a request to an own endpoint, or one that the server
    /// refused itself.
    Other,
}

/// One logged request.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// Time since 1970: of the end if the latency is known, else of the beginning.
    pub at: Duration,
    /// Whether `at` has a precision of one second.
    pub is_whole_second: bool,
    /// The latency, if logged.
    pub latency: Option<Duration>,
    /// The client's address.
    pub client: IpAddr,
    /// The value of `X-Forwarded-For`, if logged.
    pub forwarded: Option<&'a str>,
    /// The target with its query.
    pub target: Cow<'a, str>,
    /// The backend that answered, if logged.
    pub backend: Option<Cow<'a, str>>,
    /// The requested host, if logged.
    pub host: Option<Cow<'a, str>>,
}
