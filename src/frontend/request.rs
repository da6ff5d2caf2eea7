//! One request of a client, on its way through the program.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::client_stream::ClientStream;
use super::responder::{Framing, Responder};
use crate::explain::Trace;
use crate::http::framing::FramingError;
use crate::http::{BodyLength, Headers, RequestHead, status};
use crate::rules::ErrorPages;
use crate::rules::headers::{self, Context, Op};
use crate::watch::{Watch, WorkerHandle};

/// A request whose body is still unread, and the way to answer it. Dropped without an answer, its
/// connection is closed.
pub struct ClientRequest {
    /// Its first line and fields. Shared with the list of what is in flight.
    pub head: Arc<RequestHead>,
    /// Who is at the other end of the connection.
    pub peer: SocketAddr,
    /// Whether the client speaks TLS to us.
    pub secure: bool,
    /// Which version of it, as `TLSv1.3`.
    pub tls_version: Option<&'static str>,
    /// When its head was complete.
    pub received: Instant,
    /// How long the body is, or why the request can't be taken.
    pub body_length: Result<BodyLength, FramingError>,
    /// The client's address: the peer's until `proxy` has looked at who may be believed.
    pub client: IpAddr,
    /// The id that follows it; empty until `proxy` has given it one.
    pub id: String,
    /// Shared with the guard of its connection.
    pub watch: Arc<Watch>,
    /// The place of the worker that has it; `None` where no worker of the pool has.
    pub place: Option<Arc<dyn WorkerHandle>>,
    /// The rules that hold for it, by their number; `None` until it was looked for them.
    pub rules: Option<usize>,
    /// What they say of answers' fields.
    pub response_headers: Option<Arc<[Op]>>,
    /// What they say of our own answers' bodies.
    pub error_pages: Option<Arc<ErrorPages>>,
    /// Notes its way, where somebody may ask for it.
    pub trace: Trace,
    /// Where the answer goes.
    pub responder: Responder,
}

impl ClientRequest {
    /// A request that has just come in; `body_length` is what [`crate::http::framing::check`] says of it.
    pub fn new(
        head: RequestHead,
        body_length: Result<BodyLength, FramingError>,
        peer: SocketAddr,
        secure: bool,
        watch: Arc<Watch>,
        stream: Box<dyn ClientStream>,
    ) -> ClientRequest {
        // What can't be read for sure can't be followed by another request.
        let keep_alive = head.keep_alive() && body_length.is_ok();
        let responder = Responder::new(stream, head.version, head.method == "HEAD", keep_alive);
        let client = peer.ip().to_canonical();
        let received = Instant::now();
        let id = String::new();
        ClientRequest {
            head: Arc::new(head),
            peer,
            secure,
            tls_version: None,
            received,
            body_length,
            client,
            id,
            watch,
            place: None,
            rules: None,
            response_headers: None,
            error_pages: None,
            trace: Trace::default(),
            responder,
        }
    }

    /// A worker at this place handles it.
    pub fn at(&mut self, place: Arc<dyn WorkerHandle>) {
        self.responder.tells(Arc::clone(&place));
        self.place = Some(place);
    }

    /// What placeholders of rules stand for.
    pub fn context<'a>(&'a self, backend: &'a str, path: &'a str) -> Context<'a> {
        let (client, host, is_secure) = (self.client, self.head.host(), self.secure);
        Context { client, host, is_secure, path, request_id: &self.id, backend }
    }

    /// Begins an answer of this backend's, or of our own where it is empty, with what the rules say of its fields.
    pub fn start(
        &mut self,
        (code, reason): (u16, &str),
        mut headers: Headers,
        framing: Framing,
        backend: &str,
    ) {
        if let Some(ops) = self.response_headers.clone() {
            let path = self.head.path_and_query();
            headers::apply(ops.iter(), &mut headers, &self.context(backend, &path));
        }
        self.responder.start_as(code, reason, &headers, framing);
    }

    /// Begins an answer of our own.
    pub fn start_own(&mut self, code: u16, headers: Headers, framing: Framing) {
        self.start((code, status::reason(code)), headers, framing, "");
    }

    /// Why the request can't be taken, if it can't.
    pub fn flaw(&self) -> Option<FramingError> {
        self.body_length.err()
    }
}
