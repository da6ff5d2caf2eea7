//! An acceptor on tiny_http, for trusted networks: `"front": false`. tiny_http accepts, reads heads and
//! decodes bodies with one thread per connection; requests go to the same [`Dispatch`] as the front's.
//!
//! tiny_http limits neither times, sizes nor numbers, and hides its sockets; docs/RELIABILITY.md lists the
//! consequences. This module only adds what well-behaved clients need: aborting an answer that its backend
//! broke off, tunnels, and draining.

mod nudge;
mod shared;
mod socket;
mod stream;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use log::Level::{Debug, Error, Warn};

use super::dispatch::Dispatch;
use super::listen_socket::ListenSocket;
use super::listener::{Counts, Listener};
use super::request::ClientRequest;
use super::socket_options::set_socket_options;
use crate::http::framing::{self, FramingError};
use crate::http::{BodyLength, Headers, RequestHead, Version};
use crate::logging::event;
use crate::supervised;
use crate::traffic::Traffic;
use crate::watch::Watch;
use shared::Shared;
use socket::ClientSocket;
use stream::TinyStream;

/// The stack of a thread that only waits and dispatches.
const STACK_BYTES: usize = 128 << 10;
/// How long to wait for the accept loop to end.
const PAUSE_LIMIT: Duration = Duration::from_secs(2);
/// Pause between two connections that wake the accept loop.
const WAKE_PAUSE: Duration = Duration::from_millis(2);
/// Pause after accepting has failed, mostly for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// While requests wait for a worker, the dispatcher is called this often.
const LOOK: Duration = Duration::from_millis(1);
/// In a drain, connected clients may send a request until this long after the last one.
const LAST_WORD: Duration = Duration::from_secs(1);

/// See the module.
pub struct TinyListener {
    listener: ListenSocket,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl TinyListener {
    /// Starts accepting.
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    pub fn start(
        listener: ListenSocket,
        max_connections: usize,
        dispatch: Arc<dyn Dispatch>,
        traffic: Arc<Traffic>,
    ) -> io::Result<TinyListener> {
        let address = listener.address().tcp().ok_or(io::ErrorKind::Unsupported)?;
        set_socket_options(&listener, max_connections)?;
        let shared = Arc::new(Shared::new(address.port(), dispatch, traffic));
        serve(&listener, &shared)?;
        let nudged = Arc::clone(&shared);
        supervised::start("nudge", STACK_BYTES, move || nudge::run(&nudged, reachable(address)))?;
        Ok(TinyListener { listener, address, shared })
    }
}

/// Starts a tiny_http server on a clone of the socket, and the thread that takes its requests.
fn serve(listener: &ListenSocket, shared: &Arc<Shared>) -> io::Result<()> {
    let (ours, theirs) = (Arc::clone(shared), listener.try_clone()?);
    let server = server(listener)?;
    shared.stops.store(false, SeqCst);
    shared.accepting.store(true, SeqCst);
    supervised::start("acceptor", STACK_BYTES, move || accept(server, &theirs, &ours))
}

fn server(listener: &ListenSocket) -> io::Result<tiny_http::Server> {
    let listener = TcpListener::from(OwnedFd::from(listener.try_clone()?));
    // tiny_http panics if it can't start its threads.
    catch_unwind(AssertUnwindSafe(|| tiny_http::Server::from_listener(listener, None)))
        .map_err(|_| io::Error::other("no thread for the server"))?
        .map_err(|error| io::Error::other(error.to_string()))
}

/// Takes requests as long as the process lives: open connections deliver them even after accepting has ended.
/// tiny_http stops accepting for good at the first error, so another server then takes over, and the old one
/// is kept for its connections.
fn accept(mut server: tiny_http::Server, listener: &ListenSocket, shared: &Arc<Shared>) {
    let mut old = Vec::new();
    loop {
        // The dispatcher must be called while requests wait for a worker.
        let received = match shared.dispatch.look() {
            true => server.recv_timeout(LOOK),
            false => server.recv().map(Some),
        };
        match received {
            Ok(None) => {}
            // A bug in one request must not end all others.
            Ok(Some(request)) => {
                if catch_unwind(AssertUnwindSafe(|| take_over(request, shared))).is_err() {
                    event(Error, "acceptor", "panicked over a request", &[]);
                }
            }
            Err(error) if shared.stops.load(SeqCst) => {
                shared.accepting.store(false, SeqCst);
                event(Debug, "acceptor", "stopped accepting", &[("reason", &error)]);
            }
            Err(error) => {
                event(Warn, "acceptor", "accepting failed, another server accepts", &[("error", &error)]);
                thread::park_timeout(ACCEPT_PAUSE);
                if let Ok(next) = self::server(listener) {
                    old.push(std::mem::replace(&mut server, next));
                }
            }
        }
    }
}

/// Converts tiny_http's request and dispatches it.
fn take_over(mut request: tiny_http::Request, shared: &Arc<Shared>) {
    let Some(peer) = request.remote_addr().copied() else { return stream::discard(request) };
    if shared.is_doomed(peer) {
        return stream::discard(request);
    }
    let head = head_of(&mut request);
    // tiny_http does not tell how many bytes it read; the head's length is close.
    shared.traffic.has_received(head.byte_len());
    let upgrade = tiny_http_finds(&head, b"upgrade");
    // tiny_http does not decode the body of a request for an upgrade, so chunks would be forwarded as the
    // body.
    let body_length = framing::check(&head).and_then(|length| match length {
        BodyLength::Chunked if upgrade => Err(FramingError::AmbiguousFraming),
        length => Ok(length),
    });
    let length = body_length.unwrap_or(match request.body_length() {
        // The request will be refused; discarding its body must follow tiny_http's view of it.
        Some(length) => BodyLength::Known(length as u64),
        None if head.headers.get("transfer-encoding").is_some() => BodyLength::Chunked,
        None => BodyLength::None,
    });
    let is_last = upgrade || !tiny_http_keeps_alive(&head);
    // We treat the request as the connection's last, though tiny_http would read another.
    if body_length.is_err() || (!head.keep_alive() && !is_last) {
        let cookie = ClientSocket::find(peer, shared.port).map_or(0, |socket| socket.cookie());
        shared.doom(peer, cookie);
    }
    let watch = Arc::new(Watch::default());
    let shares = (Arc::clone(shared), Arc::clone(&watch));
    let stream = TinyStream::new(shares, request, peer, length, (upgrade, is_last));
    shared.dispatch.take(ClientRequest::new(head, body_length, peer, false, watch, Box::new(stream)));
}

/// Whether tiny_http 0.12 reads another request after this one.
fn tiny_http_keeps_alive(head: &RequestHead) -> bool {
    !tiny_http_finds(head, b"close")
        && (head.version == Version::Http11 || tiny_http_finds(head, b"keep-alive"))
}

/// Whether tiny_http 0.12 finds this word: it looks at the first `Connection` field only, and matches parts
/// of words.
fn tiny_http_finds(head: &RequestHead, word: &[u8]) -> bool {
    let first = head.headers.get("connection");
    first.is_some_and(|value| value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

fn head_of(request: &mut tiny_http::Request) -> RequestHead {
    let fields = request.headers();
    let bytes = fields.iter().map(|field| field.field.as_str().as_str().len() + field.value.len()).sum();
    let mut headers = Headers::with_capacity(fields.len(), bytes);
    for field in fields {
        headers.push(field.field.as_str().as_str(), field.value.as_bytes());
    }
    let old = *request.http_version() < tiny_http::HTTPVersion(1, 1);
    RequestHead {
        method: request.method().as_str().to_owned(),
        target: request.url().to_owned(),
        version: if old { Version::Http10 } else { Version::Http11 },
        headers,
    }
}

impl Listener for TinyListener {
    fn announce_end(&self) {
        self.shared.ends.store(true, SeqCst);
        *self.shared.last.lock() = Instant::now();
    }

    fn drain(&self) {
        self.drain_after_pause();
        self.shared.stops.store(true, SeqCst);
        // Makes tiny_http's accept loop fail and end; open connections are still served.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
    }

    /// With a non-blocking socket the accept loop ends as soon as the backlog is empty. Connections to
    /// ourselves wake the loop where it waits.
    fn pause(&self) -> io::Result<()> {
        self.shared.stops.store(true, SeqCst);
        self.listener.set_nonblocking(true)?;
        let (address, deadline) = (reachable(self.address), Instant::now() + PAUSE_LIMIT);
        while self.shared.accepting.load(SeqCst) && Instant::now() < deadline {
            drop(TcpStream::connect_timeout(&address, PAUSE_LIMIT));
            thread::park_timeout(WAKE_PAUSE);
        }
        self.listener.set_nonblocking(false)
    }

    fn resume(&self) -> io::Result<()> {
        serve(&self.listener, &self.shared)
    }

    fn drain_after_pause(&self) {
        self.announce_end();
    }

    fn listener(&self) -> &ListenSocket {
        &self.listener
    }

    fn counts(&self) -> Counts {
        let requests = self.shared.requests.load(SeqCst) as u64;
        // tiny_http does not tell which connections are idle.
        let may_hear_more = self.shared.last.lock().elapsed() < LAST_WORD;
        Counts { client_connections: requests, unsent: 0, may_hear_more }
    }
}

/// The address to connect to a socket that may listen on all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
