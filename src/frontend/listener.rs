//! The listening socket, tiny_http's server on it, and the thread that takes its requests in.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use super::acceptor::{self, Acceptor};
use super::connections::{Connections, Counts, Ticket};
use super::door::Door;
use super::filter;
use super::front::handed::{Handed, HandedTable};
use super::guard::{self, GuardSettings};
use super::request::ClientRequest;
use super::sink::Sink;
use super::stream::TinyStream;
use crate::http::framing::{self, Flaw};
use crate::http::{BodyLength, Headers, RequestHead, Version};
use crate::shutdown::Running;

/// The stack of a thread that only waits and hands over.
const SMALL_STACK_BYTES: usize = 128 << 10;

/// Connections that may wait to be accepted, at least and at most; the kernel's own limit
/// (`net.core.somaxconn`) is 4096, too. In between, as many as there may be connections: tiny_http accepts
/// all that wait, whether or not there are descriptors for them.
const ACCEPT_QUEUE: (usize, usize) = (64, 4096);

/// One listener and its connections.
pub struct Frontend {
    listener: TcpListener,
    address: SocketAddr,
    connections: Arc<Connections>,
}

impl Frontend {
    /// Starts to accept. `settings` is asked at every tick of the guard, so a reload takes effect.
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    pub fn start(
        listener: TcpListener,
        settings: impl Fn() -> GuardSettings + Send + 'static,
        sink: Arc<dyn Sink>,
        running: Running,
    ) -> io::Result<Frontend> {
        // A front can answer what tiny_http must not see.
        filter::drop_http2_prefaces(&(&listener).into());
        let of_all = Arc::clone(&sink);
        let next = move |request, ticket| sink.take(take_over(request, ticket));
        Frontend::start_with(listener, settings, of_all, next, running)
    }

    /// The same behind a front, which says in `table` what each request is.
    pub(super) fn start_behind(
        listener: TcpListener,
        settings: impl Fn() -> GuardSettings + Send + 'static,
        sink: Arc<dyn Sink>,
        table: Arc<HandedTable>,
        running: Running,
    ) -> io::Result<Frontend> {
        let of_all = Arc::clone(&sink);
        let next = move |request: tiny_http::Request, ticket: Ticket| match table.get(ticket.peer()) {
            Some(handed) => {
                if let Some(request) = take_over_handed(request, ticket, handed) {
                    sink.take(request);
                }
            }
            // Not the front's: somebody else on this machine.
            None => drop(TinyStream::new(request, BodyLength::None, (false, false), ticket, None)),
        };
        Frontend::start_with(listener, settings, of_all, next, running)
    }

    fn start_with(
        listener: TcpListener,
        settings: impl Fn() -> GuardSettings + Send + 'static,
        sink: Arc<dyn Sink>,
        next: impl Fn(tiny_http::Request, Ticket) + Send + Sync + 'static,
        running: Running,
    ) -> io::Result<Frontend> {
        let address = listener.local_addr()?;
        let at_first = settings();
        set_socket_options(&listener, &at_first)?;
        let connections = Connections::new(address.port(), sink, next);
        let write_limit = at_first.client_write;
        let acceptor = Acceptor::start(listener.try_clone()?, Arc::clone(&connections), write_limit)?;
        let guarded = Arc::clone(&connections);
        thread::Builder::new()
            .name("guard".into())
            .stack_size(SMALL_STACK_BYTES)
            .spawn(move || guard::run(&guarded, acceptor, settings, &running))?;
        Ok(Frontend { listener, address, connections })
    }
}

impl Door for Frontend {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn drain(&self) {
        self.connections.draining.store(true, Relaxed);
        // tiny_http's accept fails and its loop ends; existing connections are served on.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
    }

    fn pause(&self) -> io::Result<()> {
        acceptor::pause(&self.listener, &self.connections)
    }

    fn resume(&self) -> io::Result<()> {
        acceptor::serve(self.listener.try_clone()?, &self.connections)
    }

    fn drain_after_pause(&self) {
        self.connections.draining.store(true, Relaxed);
    }

    fn listener(&self) -> &TcpListener {
        &self.listener
    }

    fn counts(&self) -> Counts {
        Counts {
            owing: 0,
            unsent: 0,
            client_connections: self.connections.open.load(Relaxed),
            walks: self.connections.walks.load(Relaxed),
            alive_connections: self.connections.alive.load(Relaxed),
            leaked_connections: self.connections.leaked.load(Relaxed),
        }
    }
}

/// Options that accepted sockets inherit from the listening one on Linux, so that none is set a
/// connection. (A receive timeout would end tiny_http's accept loop, so it is not among them.)
pub(super) fn set_socket_options(listener: &TcpListener, settings: &GuardSettings) -> io::Result<()> {
    let socket = socket2::SockRef::from(listener);
    // A predecessor may have left it so.
    socket.set_nonblocking(false)?;
    // std's queue of 128 overflows in a burst, and while one process takes over from another.
    let (least, most) = ACCEPT_QUEUE;
    socket.listen(settings.max_connections.clamp(least, most) as i32)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)
}

/// Makes tiny_http's request one of ours.
fn take_over(mut request: tiny_http::Request, ticket: Ticket) -> ClientRequest {
    let peer = ticket.peer();
    let head = head_of(&mut request);
    let upgrade = tiny_http_finds(&head, b"upgrade");
    // Of a body with an upgrade tiny_http decodes nothing: chunks would be taken for the body itself.
    let screened = framing::check(&head).and_then(|length| match length {
        BodyLength::Chunked if upgrade => Err(Flaw::AmbiguousFraming),
        length => Ok(length),
    });
    let length = screened.unwrap_or(match request.body_length() {
        // It will be refused; until then tiny_http's view of its body is what must be dealt with.
        Some(length) => BodyLength::Known(length as u64),
        None if head.headers.get("transfer-encoding").is_some() => BodyLength::Chunked,
        None => BodyLength::None,
    });
    let watch = Arc::clone(ticket.watch());
    let is_last = upgrade || !tiny_http_keeps_alive(&head);
    let stream = TinyStream::new(request, length, (upgrade, is_last), ticket, None);
    ClientRequest::new(head, screened, peer, false, watch, Box::new(stream))
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

/// The request that this one stands for; `None` where it was taken before, which can't be.
fn take_over_handed(
    request: tiny_http::Request,
    ticket: Ticket,
    handed: Arc<Handed>,
) -> Option<ClientRequest> {
    let (watch, screened, upgrade) = (Arc::clone(ticket.watch()), handed.screened, handed.upgrade);
    let (peer, secure, head) = (handed.peer, handed.secure, handed.head.lock().take());
    let length = screened.unwrap_or(BodyLength::None);
    let stream = TinyStream::new(request, length, (upgrade, false), ticket, Some(handed));
    head.map(|head| ClientRequest::new(head, screened, peer, secure, watch, Box::new(stream)))
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
