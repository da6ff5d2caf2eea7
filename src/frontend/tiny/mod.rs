//! tiny_http's acceptor, for trusted networks: `"front": false`. tiny_http accepts, reads heads and decodes
//! bodies, one thread a connection; each request goes straight to the same [`Dispatch`] as the front's.
//!
//! It has no limits of time, size or number, and shows no socket. What follows from that is a list in
//! docs/RELIABILITY.md; here is only what friendly clients need: the end of an answer that its backend broke
//! off, tunnels, and a drain.

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

/// The stack of a thread that only waits and hands over.
const STACK_BYTES: usize = 128 << 10;
/// How long the accept loop gets to end.
const PAUSE_LIMIT: Duration = Duration::from_secs(2);
/// Between two connections that wake it.
const WAKE_PAUSE: Duration = Duration::from_millis(2);
/// After accepting has failed, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// While requests wait for a worker, how often somebody looks at that.
const LOOK: Duration = Duration::from_millis(1);
/// In a drain, who is connected may use the connection once more within this time.
const LAST_WORD: Duration = Duration::from_secs(1);

/// See the module.
pub struct TinyListener {
    listener: ListenSocket,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl TinyListener {
    /// Starts to accept.
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

/// Starts a server of tiny_http's on a clone of the socket, and the thread that takes its requests in.
fn serve(listener: &ListenSocket, shared: &Arc<Shared>) -> io::Result<()> {
    let (ours, theirs) = (Arc::clone(shared), listener.try_clone()?);
    let server = server(listener)?;
    shared.stops.store(false, SeqCst);
    shared.accepting.store(true, SeqCst);
    supervised::start("acceptor", STACK_BYTES, move || accept(server, &theirs, &ours))
}

fn server(listener: &ListenSocket) -> io::Result<tiny_http::Server> {
    let listener = TcpListener::from(OwnedFd::from(listener.try_clone()?));
    // tiny_http panics where it can't start its threads.
    catch_unwind(AssertUnwindSafe(|| tiny_http::Server::from_listener(listener, None)))
        .map_err(|_| io::Error::other("no thread for the server"))?
        .map_err(|error| io::Error::other(error.to_string()))
}

/// Takes requests in for as long as the process lives: when accepting has ended, open connections still
/// deliver. tiny_http stops accepting for good at the first error, so then another server takes its place,
/// and the old one stays for the connections that it has.
fn accept(mut server: tiny_http::Server, listener: &ListenSocket, shared: &Arc<Shared>) {
    let mut old = Vec::new();
    loop {
        // While requests wait for a worker, somebody has to see to it.
        let received = match shared.dispatch.look() {
            true => server.recv_timeout(LOOK),
            false => server.recv().map(Some),
        };
        match received {
            Ok(None) => {}
            // A bug over one request must not end all others.
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

/// Makes tiny_http's request one of ours and hands it on.
fn take_over(mut request: tiny_http::Request, shared: &Arc<Shared>) {
    let Some(peer) = request.remote_addr().copied() else { return stream::discard(request) };
    if shared.is_doomed(peer) {
        return stream::discard(request);
    }
    let head = head_of(&mut request);
    // tiny_http shows no bytes: as many as such a head has.
    shared.traffic.has_received(head.byte_len());
    let upgrade = tiny_http_finds(&head, b"upgrade");
    // Of a body with an upgrade tiny_http decodes nothing: chunks would be taken for the body itself.
    let body_length = framing::check(&head).and_then(|length| match length {
        BodyLength::Chunked if upgrade => Err(FramingError::AmbiguousFraming),
        length => Ok(length),
    });
    let length = body_length.unwrap_or(match request.body_length() {
        // It will be refused; until then tiny_http's view of its body is what must be dealt with.
        Some(length) => BodyLength::Known(length as u64),
        None if head.headers.get("transfer-encoding").is_some() => BodyLength::Chunked,
        None => BodyLength::None,
    });
    let is_last = upgrade || !tiny_http_keeps_alive(&head);
    // Its last request by our reading, if not by tiny_http's.
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

/// tiny_http 0.12 looks at the first `Connection` field only, and for a part of a word.
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
        // tiny_http's accept fails and its loop ends; existing connections are served on.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
    }

    /// The socket no longer blocks, and the accept loop ends at its first empty queue. Connections of our own
    /// wake it where it waits.
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
        // Who is connected and says nothing is not known.
        let may_hear_more = self.shared.last.lock().elapsed() < LAST_WORD;
        Counts { client_connections: requests, unsent: 0, may_hear_more }
    }
}

/// Where to connect to a socket that listens on all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
