//! The backend's side: carries one request to one backend and brings back the answer's head, its body
//! still unread. The only folder that names ureq; the rest sees [`Transport`], which tests fake.
//!
//! ureq frames the exchange and reads the answer. What it can't do as a proxy's client stands around
//! it: `connector` opens, probes and keeps connections, `stream` puts time limits on each wait and
//! writes the request's own head, `attempt` remembers what happened so that a failure can be judged.

mod attempt;
mod buffers;
mod connector;
mod error;
mod guarded_body;
mod opener;
pub mod probe;
mod resolver;
mod stream;
mod ureq;
mod wire;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

pub use error::{AttemptError, Cause, Stage};
pub use resolver::look_up;

pub use self::ureq::UreqTransport;

use crate::http::Headers;
use crate::pool::Backend;
use crate::watch::{Interrupt, Watch};

/// Largest head that a backend may answer with, in bytes. HAProxy allows 16 KiB, nginx 4 to 8 KiB,
/// Go 1 MiB.
pub const MAX_REPLY_HEAD_BYTES: usize = 64 << 10;

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

/// Time and size limits of one attempt, from the configuration that the request sees.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To open a connection, all addresses together.
    pub connect: Duration,
    /// From the attempt's start (or the last bit of request body passed on) to the answer's whole
    /// head; then each wait for more of the answer's body.
    pub request: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How many idle connections are kept to a backend.
    pub max_idle: usize,
}

/// A request on its way to a backend.
pub struct Outgoing<'a> {
    /// As the client sent it.
    pub method: &'a str,
    /// The request target, byte for byte.
    pub target: &'a str,
    /// All fields but the framing's (`Content-Length`, `Transfer-Encoding`), which follow `body`.
    pub headers: &'a Headers,
    /// What follows the head.
    pub body: OutgoingBody<'a>,
    /// How long everything may take.
    pub limits: Limits,
    /// Whether a connection of its own is wanted: an idle one has just failed.
    pub fresh: bool,
    /// Whether the request asks for an upgrade, which the backend may grant with 101.
    pub upgrade: bool,
    /// Who can end the wait before its time, because nobody wants the answer any more.
    pub watch: Option<Arc<Watch>>,
}

/// A request body on its way to a backend.
pub enum OutgoingBody<'a> {
    /// None at all.
    None,
    /// Exactly that many bytes. A reader that ends early must err instead of returning 0.
    Known(u64, &'a mut dyn Read),
    /// As many as come.
    Chunked(&'a mut dyn Read),
}

/// The head of a backend's answer.
pub struct BackendReply {
    /// Three digits.
    pub status: u16,
    /// All fields as they came, repeats kept, hop-by-hop ones included.
    pub headers: Headers,
    /// How long the body is.
    pub length: ReplyLength,
    /// The body, unread; an end before its announced end is an error.
    pub body: Box<dyn Read + Send>,
    /// Some of the body is here already, so that the first read of it does not wait.
    pub body_is_here: bool,
    /// The backend answered before it had taken the whole request body: what is left of that body
    /// in the client's connection can't be a request.
    pub body_refused: bool,
    /// The connection itself, where the answer is 101 to an upgrade.
    pub tunnel: Option<BackendTunnel>,
}

/// A connection that speaks another protocol from now on.
pub struct BackendTunnel {
    /// From the backend.
    pub reader: Box<dyn Read + Send>,
    /// To the backend.
    pub writer: Box<dyn Write + Send>,
    /// Tells the backend that nothing more will come.
    pub end_sending: Box<dyn FnOnce() + Send>,
    /// Ends both.
    pub closer: Arc<dyn Interrupt>,
}

/// How long the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyLength {
    /// `Content-Length`.
    Known(u64),
    /// Chunked, or as long as the connection.
    Unknown,
}
