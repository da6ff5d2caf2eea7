//! The backend's side: sends a request to a backend and returns the answer's head, with its body still
//! unread. The only folder that uses ureq-proto; the rest sees [`Transport`], which tests fake.
//!
//! ureq-proto, the part of ureq without sockets, determines how an answer's body ends (`framing`). What a proxy
//! needs besides is here: `idle` keeps connections, `connection` limits each wait, `exchange` sends a request
//! while it listens for the answer (`upload`), `answer_head` keeps names and order of the fields, `reply_body`
//! reads the answer's body. DESIGN.md explains why ureq's own run loop is not used.

pub mod answer_head;
mod connection;
mod dialer;
mod error;
mod exchange;
pub mod framing;
mod http_transport;
mod idle;
mod input;
mod limits;
pub mod probe;
mod reply_body;
mod resolver;
mod upload;
mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use error::{AttemptError, Cause, Stage};
pub use http_transport::HttpTransport;
pub use limits::Limits;
pub use resolver::look_up;
pub use wire::connect_unix;

use crate::client_side::ClientSide;
use crate::duplex::Duplex;
use crate::http::{BodyLength, Headers};
use crate::pool::Backend;
use crate::watch::Watch;

/// Largest head that a backend may answer with, in bytes. HAProxy allows 16 KiB, nginx 4 to 8 KiB,
/// Go 1 MiB.
pub const MAX_REPLY_HEAD_BYTES: usize = 64 << 10;

/// Most fields in such a head. Go has no limit of its own, Envoy allows 100, HAProxy 101.
pub const MAX_REPLY_FIELDS: usize = 256;

/// Sends requests to backends.
pub trait Transport: Send + Sync {
    /// Sends the request and waits for the answer's head.
    ///
    /// # Errors
    /// How far the attempt got and why it failed; see [`AttemptError`].
    fn send(&self, backend: &Backend, request: Outgoing<'_>) -> Result<BackendReply, AttemptError>;

    /// Closes the connections of a backend that has left the configuration.
    fn forget(&self, backend: &Backend);

    /// Closes connections that have been idle for too long; called regularly.
    fn tidy(&self);
}

/// A request on its way to a backend.
pub struct Outgoing<'a> {
    /// The method as the client sent it.
    pub method: &'a str,
    /// The request target, byte for byte.
    pub target: &'a str,
    /// All fields except `Content-Length` and `Transfer-Encoding`, which are derived from `length`.
    pub headers: &'a Headers,
    /// The length of the body.
    pub length: BodyLength,
    /// Source of the body and destination of interim answers.
    pub client: &'a mut dyn ClientSide,
    /// Time limits.
    pub limits: Limits,
    /// Whether to use a new connection, because an idle one has just failed.
    pub fresh: bool,
    /// Whether the request can be sent again if an idle connection turns out to be dead; otherwise it only
    /// gets a proven or a new connection.
    pub repeatable: bool,
    /// Whether the request asks for an upgrade, which the backend may grant with 101.
    pub upgrade: bool,
    /// Cancels the exchange when the client is gone.
    pub watch: Option<Arc<Watch>>,
}

/// The head of a backend's answer.
pub struct BackendReply {
    /// Three digits.
    pub status: u16,
    /// The backend's reason phrase.
    pub reason: String,
    /// All fields as they came, in their order and spelling, hop-by-hop ones included.
    pub headers: Headers,
    /// The length of the body.
    pub length: ReplyLength,
    /// The body, unread.
    pub body: Box<dyn ReplyBody>,
    /// Whether the first read of the body needs no wait.
    pub body_is_here: bool,
    /// The tunnel to the backend, if the answer is 101 to an upgrade.
    pub tunnel: Option<Box<dyn Duplex>>,
}

/// The body of an answer.
pub trait ReplyBody: Send {
    /// Reads some of the body; 0 at the end of a complete one. While it waits, it continues the upload: an
    /// answer may begin, and end, before the request's body has been sent.
    ///
    /// # Errors
    /// The backend broke off the answer, or was silent for too long.
    fn read(&mut self, buf: &mut [u8], client: &mut dyn ClientSide) -> std::io::Result<usize>;

    /// Sets the limit of each wait from now on.
    fn wait_at_most(&mut self, limit: Duration);

    /// The trailer fields of a chunked body that has ended.
    fn trailers(&mut self) -> Headers;
}

/// The length of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyLength {
    /// `Content-Length`.
    Known(u64),
    /// Chunked, or until the connection is closed.
    Unknown,
}
