//! The [`Transport`] that forwards with ureq: one agent a backend, so that its connections live and
//! go with it.

use std::collections::HashMap;
use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::RwLock;
use ureq::http::{self, Request, Response, Uri, header};
use ureq::{Agent, Body, Error, SendBody};

use super::attempt::{self, Attempt};
use super::connector::{Link, LinkConnector};
use super::resolver::NoLookup;
use super::stream;
use super::wire::Wire;
use super::{
    AttemptError, BackendReply, Cause, Limits, MAX_REPLY_HEAD_BYTES, Outgoing, OutgoingBody, ReplyLength,
    Stage, Transport,
};
use crate::config::BackendUrl;
use crate::http::Headers;
use crate::pool::Backend;
use crate::tls::ClientSettings;

/// Most bytes made up for a body that the backend does not want any more; see [`GuardedBody`].
const MAX_FILLER_BYTES: u64 = 64 << 20;

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

/// How connections to this backend are made; `port` takes the place of its own.
pub fn opener(backend: &Backend, port: Option<u16>) -> impl Fn(&Limits) -> io::Result<Wire> + use<> {
    let (url, book) = (backend.url().clone(), backend.address_book());
    let tls = ClientSettings::of(&url, backend.ca());
    let connections = AtomicUsize::new(0);
    let addresses = move || {
        let mut addresses = book.get().to_vec();
        for address in &mut addresses {
            address.set_port(port.unwrap_or(address.port()));
        }
        take_turns(&mut addresses, connections.fetch_add(1, Relaxed));
        addresses
    };
    move |limits| match &url {
        BackendUrl::Http { .. } => Wire::tcp(&addresses(), limits.connect),
        BackendUrl::Https { .. } => {
            let tls = tls.as_ref().map_err(|problem| io::Error::other(problem.clone()))?;
            Wire::tcp(&addresses(), limits.connect)?.with_tls(tls, limits.connect)
        }
        BackendUrl::Unix { path } => Wire::unix(path),
    }
}

/// Each connection begins with another address, so that all of a name get their share. Those of the other
/// family stay behind: `localhost` is two addresses, and one of them often leads nowhere.
fn take_turns(addresses: &mut [SocketAddr], turn: usize) {
    let is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let alike = addresses.iter().take_while(|address| address.is_ipv6() == is_ipv6).count();
    if alike > 1 {
        addresses[..alike].rotate_left(turn % alike);
    }
}

/// An agent that adds nothing of its own: no headers, no redirects, no proxy, no errors for statuses,
/// no lookups, no pool and no timeouts (ours are in `stream`).
pub fn new_agent(backend: &Backend, port: Option<u16>) -> (Agent, Arc<Link>) {
    let link = Arc::new(Link::new(opener(backend, port)));
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
            let mut body = GuardedBody { reader, left: Some(length), filler_bytes: 0 };
            let request = builder.method(http::Method::POST).header(header::CONTENT_LENGTH, length);
            agent.run(request.body(SendBody::from_reader(&mut body))?)
        }
        OutgoingBody::Chunked(reader) => {
            let mut body = GuardedBody { reader, left: None, filler_bytes: 0 };
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

/// A request body that ureq 3.5 can't misread. ureq spins for ever on a reader that ends before its
/// announced length; this one errs instead, hands out no byte beyond it, and notes whose fault it was.
/// When the backend has stopped taking the body it makes the rest up, so that ureq goes on to read
/// the answer.
pub struct GuardedBody<'a> {
    reader: &'a mut dyn Read,
    left: Option<u64>,
    filler_bytes: u64,
}

impl Read for GuardedBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if attempt::with(|attempt| attempt.body_refused) == Some(true) {
            return self.fill(buf);
        }
        let most =
            self.left.map_or(buf.len(), |left| buf.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buf[..most]);
        let early_end = matches!((&read, self.left), (Ok(0), Some(_)));
        if read.is_err() || early_end {
            attempt::with(|attempt| attempt.client_failed = true);
        }
        match read {
            Ok(0) if early_end => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(amount) => {
                self.left = self.left.map(|left| left - amount as u64);
                Ok(amount)
            }
            Err(error) => Err(error),
        }
    }
}

impl GuardedBody<'_> {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left else { return Ok(0) };
        let amount = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.left = Some(left - amount as u64);
        self.filler_bytes += amount as u64;
        if self.filler_bytes > MAX_FILLER_BYTES {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::pool::backend::tests::backends;

    #[test]
    fn addresses_of_a_family_take_turns_and_the_other_one_stays_behind() {
        let address = |text: &str| -> SocketAddr { format!("{text}:80").parse().unwrap() };
        let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "[::1]"].map(address);
        let first = |turn| {
            let mut addresses = all;
            take_turns(&mut addresses, turn);
            assert_eq!(addresses[3], all[3]);
            addresses[0]
        };
        assert_eq!([0, 1, 2, 3].map(first), [all[0], all[1], all[2], all[0]]);
        take_turns(&mut [], 5);
    }

    #[test]
    fn connections_are_shared_out_among_the_addresses_of_a_name() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind(("127.0.0.2", one.local_addr().unwrap().port())).unwrap();
        let backend = &backends(1)[0];
        backend.address_book().set(&[one.local_addr().unwrap(), other.local_addr().unwrap()]);
        let (open, limit) = (opener(backend, None), Duration::from_secs(5));
        let limits = Limits { connect: limit, request: limit, idle: limit, max_idle: 1 };
        let connections: Vec<_> = (0..4).map(|_| open(&limits).unwrap()).collect();
        for listener in [one, other] {
            listener.set_nonblocking(true).unwrap();
            assert_eq!((0..4).filter(|_| listener.accept().is_ok()).count(), 2);
        }
        drop(connections);
    }
}
