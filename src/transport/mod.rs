//! The backend's side: carries one request to one backend and brings back the answer's head, its body
//! still unread. The only folder that names ureq; the rest sees [`Transport`], which tests fake.
//!
//! ureq-proto, the half of ureq that has no sockets, says how an answer is framed and whether its connection
//! can serve again (`framing`). What a proxy needs around it is here: `idle` keeps connections, `connection`
//! puts time limits on each wait, `exchange` sends a request while it listens for the answer (`upload`),
//! `answer_head` keeps names and order as they came, `reply_body` passes the answer on. DESIGN.md says why it
//! is not ureq's own run loop.

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

/// Most fields in one. Go has no limit of its own, Envoy allows 100, HAProxy 101.
pub const MAX_REPLY_FIELDS: usize = 256;

/// Carries one request to one backend.
pub trait Transport: Send + Sync {
    /// Sends the request and waits for the answer's head.
    ///
    /// # Errors
    /// Says how far it came and why it went no further; see [`AttemptError`].
    fn send(&self, backend: &Backend, request: Outgoing<'_>) -> Result<BackendReply, AttemptError>;

    /// Lets go of the connections of a backend that has left the configuration.
    fn forget(&self, backend: &Backend);

    /// Closes connections that have been idle for too long; to be called now and then.
    fn tidy(&self);
}

/// A request on its way to a backend.
pub struct Outgoing<'a> {
    /// As the client sent it.
    pub method: &'a str,
    /// The request target, byte for byte.
    pub target: &'a str,
    /// All fields but the framing's (`Content-Length`, `Transfer-Encoding`), which follow `length`.
    pub headers: &'a Headers,
    /// How long its body is.
    pub length: BodyLength,
    /// Where its body comes from, and where interim answers go.
    pub client: &'a mut dyn ClientSide,
    /// How long everything may take.
    pub limits: Limits,
    /// Whether a connection of its own is wanted: an idle one has just failed.
    pub fresh: bool,
    /// Whether it may be sent again where an idle connection turns out to be dead; else it takes one that
    /// has proven that its backend keeps it.
    pub repeatable: bool,
    /// Whether the request asks for an upgrade, which the backend may grant with 101.
    pub upgrade: bool,
    /// Who can end the wait before its time, because nobody wants the answer any more.
    pub watch: Option<Arc<Watch>>,
}

/// The head of a backend's answer.
pub struct BackendReply {
    /// Three digits.
    pub status: u16,
    /// The backend's own words for it.
    pub reason: String,
    /// All fields as they came, in their order and spelling, hop-by-hop ones included.
    pub headers: Headers,
    /// How long the body is.
    pub length: ReplyLength,
    /// The body, unread.
    pub body: Box<dyn ReplyBody>,
    /// Some of the body is here already, so that the first read of it does not wait.
    pub body_is_here: bool,
    /// The connection itself, where the answer is 101 to an upgrade.
    pub tunnel: Option<Box<dyn Duplex>>,
}

/// The body of an answer.
pub trait ReplyBody: Send {
    /// Reads some of it, 0 at its whole end. While it waits it passes on what the client still sends of its
    /// request: an answer may begin, and end, before that.
    ///
    /// # Errors
    /// The backend broke the answer off, or was silent for too long.
    fn read(&mut self, buf: &mut [u8], client: &mut dyn ClientSide) -> std::io::Result<usize>;

    /// Each wait may take so long from now on.
    fn wait_at_most(&mut self, limit: Duration);

    /// The fields behind a chunked body that has ended.
    fn trailers(&mut self) -> Headers;
}

/// How long the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyLength {
    /// `Content-Length`.
    Known(u64),
    /// Chunked, or as long as the connection.
    Unknown,
}
