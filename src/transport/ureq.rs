//! The [`Transport`] that forwards with ureq: one agent a backend, so that its connections live and
//! go with it.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};
use std::sync::Arc;

use parking_lot::RwLock;
use ureq::http::{self, Request, Response, Uri, header};
use ureq::{Agent, Body, Error, SendBody};

use super::attempt::{self, Attempt};
use super::connector::{Link, LinkConnector};
use super::guarded_body::GuardedBody;
use super::opener::opener;
use super::resolver::NoLookup;
use super::stream;
use super::{
    AttemptError, BackendReply, Cause, MAX_REPLY_HEAD_BYTES, Outgoing, OutgoingBody, ReplyLength, Stage,
    Transport,
};
use crate::http::Headers;
use crate::pool::Backend;

/// Forwards with ureq.
#[derive(Default)]
pub struct UreqTransport {
    agents: RwLock<HashMap<u64, (Agent, Arc<Link>)>>,
}

impl Transport for UreqTransport {
    fn send(&self, backend: &Backend, request: Outgoing<'_>) -> Result<BackendReply, AttemptError> {
        let may_reuse = !request.fresh;
        exchange(&self.agent(backend), request, may_reuse)
    }

    fn forget(&self, backend: &Backend) {
        self.agents.write().remove(&backend.id());
    }

    fn tidy(&self) {
        let links: Vec<Arc<Link>> = self.agents.read().values().map(|(_, link)| Arc::clone(link)).collect();
        links.iter().for_each(|link| link.tidy());
    }
}

impl UreqTransport {
    fn agent(&self, backend: &Backend) -> Agent {
        if let Some((agent, _)) = self.agents.read().get(&backend.id()) {
            return agent.clone();
        }
        let mut agents = self.agents.write();
        agents.entry(backend.id()).or_insert_with(|| new_agent(backend, None)).0.clone()
    }
}

/// An agent that adds nothing of its own: no headers, no redirects, no proxy, no errors for statuses,
/// no lookups, no pool and no timeouts (ours are in `stream`).
pub fn new_agent(backend: &Backend, port: Option<u16>) -> (Agent, Arc<Link>) {
    let link = Arc::new(Link::new(opener(backend, port), backend.address_book()));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .max_response_header_size(MAX_REPLY_HEAD_BYTES)
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .build();
    (Agent::with_parts(config, LinkConnector(Arc::clone(&link)), NoLookup), link)
}

/// One request and the head of its answer.
pub fn exchange(agent: &Agent, request: Outgoing<'_>, may_reuse: bool) -> Result<BackendReply, AttemptError> {
    let head = write_head(&request);
    let reply_has_no_body = request.method == "HEAD";
    attempt::begin(head, request.limits, request.watch.clone(), request.upgrade, may_reuse);
    let result = run(agent, request);
    let Some(mut notes) = attempt::end() else {
        return Err(AttemptError {
            stage: Stage::Connect,
            cause: Cause::Other("no attempt".into()),
            reused: false,
        });
    };
    match result {
        // Nobody asked for another protocol, and a client that got this would wait for one.
        Ok(response) if is_switch(&response) && !notes.upgrade => {
            let cause = Cause::NotHttp("101 without an upgrade".into());
            Err(AttemptError { stage: notes.stage, cause, reused: notes.reused })
        }
        Ok(response) => Ok(reply(response, reply_has_no_body, &mut notes)),
        Err(error) => Err(judge(error, &notes)),
    }
}

fn is_switch(response: &Response<Body>) -> bool {
    response.status() == http::StatusCode::SWITCHING_PROTOCOLS
}

/// ureq gets a plain request that stands for the real one: it decides the framing, and the real head
/// goes out in place of its head. Only three kinds differ: HEAD, no body, and a body.
fn run(agent: &Agent, request: Outgoing<'_>) -> Result<Response<Body>, Error> {
    let builder = Request::builder().uri(Uri::from_static("http://backend/"));
    match request.body {
        OutgoingBody::None => {
            let method = if request.method == "HEAD" { http::Method::HEAD } else { http::Method::GET };
            agent.run(builder.method(method).body(())?)
        }
        OutgoingBody::Known(length, reader) => {
            let mut body = GuardedBody::new(reader, Some(length));
            let request = builder.method(http::Method::POST).header(header::CONTENT_LENGTH, length);
            agent.run(request.body(SendBody::from_reader(&mut body))?)
        }
        OutgoingBody::Chunked(reader) => {
            let mut body = GuardedBody::new(reader, None);
            let request = builder.method(http::Method::POST).header(header::TRANSFER_ENCODING, "chunked");
            agent.run(request.body(SendBody::from_reader(&mut body))?)
        }
    }
}

fn write_head(request: &Outgoing<'_>) -> Vec<u8> {
    let mut head = Vec::with_capacity(request.headers.byte_len() + request.target.len() + 64);
    head.extend_from_slice(request.method.as_bytes());
    head.push(b' ');
    head.extend_from_slice(request.target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers.iter() {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    match request.body {
        // Without it, some backends wait for a body that never comes (RFC 9110 section 8.6).
        OutgoingBody::None if matches!(request.method, "POST" | "PUT" | "PATCH") => {
            head.extend_from_slice(b"Content-Length: 0\r\n");
        }
        OutgoingBody::None => {}
        OutgoingBody::Known(length, _) => {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        OutgoingBody::Chunked(_) => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn reply(response: Response<Body>, to_head: bool, notes: &mut Attempt) -> BackendReply {
    let switches = is_switch(&response);
    let (parts, body) = response.into_parts();
    let mut headers = Headers::with_capacity(parts.headers.len() + 4, 512);
    for (name, value) in &parts.headers {
        headers.push(name.as_str(), value.as_bytes());
    }
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let chunked = parts.headers.contains_key(header::TRANSFER_ENCODING);
    let length = match length {
        Some(length) if !chunked || to_head => ReplyLength::Known(length),
        _ => ReplyLength::Unknown,
    };
    let body: Box<dyn Read + Send> = Box::new(body.into_reader());
    let tunnel = notes.tunnel.take().filter(|_| switches);
    let tunnel = tunnel.map(|(stream, early)| stream::tunnel(stream, early));
    BackendReply {
        status: parts.status.as_u16(),
        headers,
        length,
        body,
        body_is_here: notes.body_is_here,
        body_refused: notes.body_refused,
        tunnel,
    }
}

fn judge(error: Error, notes: &Attempt) -> AttemptError {
    let cause = match error {
        _ if notes.client_failed => Cause::Client,
        Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Cause::Refused,
            io::ErrorKind::NotFound => Cause::Unresolved,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Cause::TimedOut,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                Cause::Closed
            }
            _ if was_reset(&error) => Cause::Closed,
            _ => Cause::Other(error.to_string()),
        },
        Error::Timeout(_) => Cause::TimedOut,
        Error::LargeResponseHeader(..) => Cause::NotHttp(format!("a head over {MAX_REPLY_HEAD_BYTES} bytes")),
        Error::Protocol(error) => Cause::NotHttp(error.to_string()),
        Error::Http(error) => Cause::NotHttp(error.to_string()),
        error => Cause::Other(error.to_string()),
    };
    AttemptError { stage: notes.stage, cause, reused: notes.reused }
}

/// Whether this is a reset that `stream` wrapped, so that ureq does not take it for an end.
fn was_reset(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    inner.is_some_and(|inner| {
        matches!(inner.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted)
    })
}
