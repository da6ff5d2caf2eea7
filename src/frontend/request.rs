//! A client's request on its way through the program.

use std::io;
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

/// A request with its body still unread, and the means to answer it. Dropping it without an answer closes the
/// connection.
pub struct ClientRequest {
    /// Request line and fields. Shared with the list of requests in flight.
    pub head: Arc<RequestHead>,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Whether the client speaks TLS to us.
    pub secure: bool,
    /// Whether the peer is a trusted proxy; `false` until `proxy` has looked.
    pub peer_is_trusted: bool,
    /// Whether the client speaks https, to us or to a trusted proxy that says so.
    pub is_https: bool,
    /// The TLS version, as `TLSv1.3`.
    pub tls_version: Option<&'static str>,
    /// When the head was complete.
    pub received: Instant,
    /// The body's length, or why the request must be refused.
    pub body_length: Result<BodyLength, FramingError>,
    /// The client's address: the peer's, until `proxy` has evaluated what trusted proxies forward.
    pub client: IpAddr,
    /// The request id; empty until `proxy` has set it.
    pub id: String,
    /// Shared with the connection's slot.
    pub watch: Arc<Watch>,
    /// The slot of the worker that handles it; `None` outside the worker pool.
    pub place: Option<Arc<dyn WorkerHandle>>,
    /// The index of its rules; `None` until they are looked up.
    pub rules: Option<usize>,
    /// The rules' changes to the answer's fields.
    pub response_headers: Option<Arc<[Op]>>,
    /// The rules' bodies for our own answers.
    pub error_pages: Option<Arc<ErrorPages>>,
    /// Fields for the backend from the service that let the request pass.
    pub passed: Headers,
    /// Records the request's way, for `explain`.
    pub trace: Trace,
    /// Writes the answer.
    pub responder: Responder,
}

impl ClientRequest {
    /// A request that has just arrived; `body_length` is the result of [`crate::http::framing::check`].
    pub fn new(
        head: RequestHead,
        body_length: Result<BodyLength, FramingError>,
        peer: SocketAddr,
        secure: bool,
        watch: Arc<Watch>,
        stream: Box<dyn ClientStream>,
    ) -> ClientRequest {
        // After a body whose end is uncertain, no other request can be read.
        let keep_alive = head.keep_alive() && body_length.is_ok();
        let responder = Responder::new(stream, head.version, head.method == "HEAD", keep_alive);
        let client = peer.ip().to_canonical();
        let received = Instant::now();
        let id = String::new();
        ClientRequest {
            head: Arc::new(head),
            peer,
            secure,
            peer_is_trusted: false,
            is_https: secure,
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
            passed: Headers::default(),
            trace: Trace::default(),
            responder,
        }
    }

    /// Notes the slot of the worker that handles the request.
    pub fn at(&mut self, place: Arc<dyn WorkerHandle>) {
        self.responder.tells(Arc::clone(&place));
        self.place = Some(place);
    }

    /// The values for placeholders in rules.
    pub fn context<'a>(&'a self, backend: &'a str, path: &'a str) -> Context<'a> {
        let (client, host, is_secure) = (self.client, self.head.host(), self.is_https);
        Context { client, host, is_secure, path, request_id: &self.id, backend }
    }

    /// Applies the rules' changes to the fields of an answer. `backend` is empty for our own answers.
    pub fn apply_rules(&self, headers: &mut Headers, backend: &str) {
        if let Some(ops) = &self.response_headers {
            let path = self.head.path_and_query();
            headers::apply_to_answer(ops, headers, &self.context(backend, &path));
        }
    }

    /// Sends an answer of our own, whose fields follow the rules for answers.
    ///
    /// # Errors
    /// The client is gone.
    pub fn answer(&mut self, code: u16, headers: Headers, body: &[u8]) -> io::Result<()> {
        self.answer_as((code, status::reason(code)), headers, body)
    }

    /// Like [`ClientRequest::answer`], with this reason phrase.
    ///
    /// # Errors
    /// The client is gone.
    pub fn answer_as(
        &mut self,
        (code, reason): (u16, &str),
        mut headers: Headers,
        body: &[u8],
    ) -> io::Result<()> {
        let framing = match status::has_no_body("GET", code) {
            true => Framing::NoBody,
            false => Framing::Length(body.len() as u64),
        };
        self.apply_rules(&mut headers, "");
        self.responder.start_as(code, reason, &headers, framing);
        self.responder.write(body)?;
        self.responder.finish()
    }

    /// Why the request must be refused, if it must.
    pub fn flaw(&self) -> Option<FramingError> {
        self.body_length.err()
    }
}
