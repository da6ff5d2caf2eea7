//! The table of client connections: one request of each is let through at a time, the rest of a
//! pipelining client waits in its connection's own short queue.
//!
//! tiny_http delivers pipelined requests at once and without bound, and a worker that answers the
//! second before the first blocks. Keyed by the peer's address, which is unique among living sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::entry::{Closed, Entry, MAX_PIPELINED, Raw};
use super::sink::Sink;
use super::socket::ClientSocket;
use crate::watch::Watch;

/// The longest body that may be announced, and so the longest that tiny_http is left to throw away: it
/// allocates that much address space (see `allocator`), of which there are 2^47 bytes, and hundreds of
/// clients may break off at the same moment. Longer ones must not even be read: tiny_http throws a body
/// away as soon as it ends too early.
pub const MAX_ANNOUNCED_BODY: u64 = 256 << 30;

/// Between two searches for what may be a new connection from a port that we have closed.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);

/// All connections of one listener.
pub(super) struct Connections {
    pub(super) table: Mutex<HashMap<SocketAddr, Entry>>,
    pub(super) local_port: u16,
    pub(super) draining: AtomicBool,
    /// tiny_http's accept loops that are running, as far as is known.
    pub(super) accepting: AtomicUsize,
    pub(super) open: AtomicU64,
    /// Those of the open ones that were not shut down.
    pub(super) alive: AtomicU64,
    /// How often the guard has counted.
    pub(super) walks: AtomicU64,
    pub(super) leaked: AtomicU64,
    /// The process's highest descriptor, as far as is known; searches look below it first.
    pub(super) highest_fd: AtomicI32,
    started: Instant,
    last_search: AtomicU64,
    /// Whether a request has come from a connection that was not known, since the guard looked.
    pub(super) accepted: AtomicBool,
    /// Says so at once.
    pub(super) newcomers: Receiver<()>,
    has_newcomers: Sender<()>,
    /// Requests that have come in.
    pub(super) arrivals: AtomicU64,
    pub(super) sink: Arc<dyn Sink>,
    next: Box<dyn Fn(Raw, Ticket) + Send + Sync>,
}

/// Figures for the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Connections of clients that are open.
    pub client_connections: u64,
    /// Those of them that were not shut down.
    pub alive_connections: u64,
    /// How often they have been counted.
    pub walks: u64,
    /// Those that have not been sent all of an answer, or may still be given one; known of the front,
    /// which answers go through when their requests have ended.
    pub owing: u64,
    /// Those of them whose request has ended.
    pub unsent: u64,
    /// Connections that are over but that tiny_http can't let go: a thread and two descriptors each.
    pub leaked_connections: u64,
}

/// What a new request meets.
enum Turn {
    Now(Raw, Arc<Watch>),
    Later,
    FromClosed(Raw, Closed),
    TooMany(Raw),
}

impl Connections {
    /// `next` gets each request when its turn has come, and hands it to `sink`.
    pub(super) fn new(
        local_port: u16,
        sink: Arc<dyn Sink>,
        next: impl Fn(Raw, Ticket) + Send + Sync + 'static,
    ) -> Arc<Connections> {
        let (has_newcomers, newcomers) = bounded(1);
        Arc::new(Connections {
            newcomers,
            has_newcomers,
            table: Mutex::default(),
            local_port,
            draining: AtomicBool::new(false),
            accepting: AtomicUsize::new(0),
            open: AtomicU64::new(0),
            alive: AtomicU64::new(0),
            walks: AtomicU64::new(0),
            leaked: AtomicU64::new(0),
            highest_fd: AtomicI32::new(0),
            started: Instant::now(),
            last_search: AtomicU64::new(0),
            accepted: AtomicBool::new(false),
            arrivals: AtomicU64::new(0),
            sink,
            next: Box::new(next),
        })
    }

    /// Takes in a request that tiny_http has read.
    pub(super) fn arrived(self: &Arc<Self>, request: Raw) {
        self.arrivals.fetch_add(1, Relaxed);
        let Some(peer) = request.remote_addr().copied() else { return discard(request) };
        match self.turn(peer, request) {
            Turn::Now(request, watch) => self.let_through(peer, request, watch),
            Turn::Later => {}
            Turn::FromClosed(request, closed) => self.arrived_after_close(peer, request, closed),
            Turn::TooMany(request) => self.reset(peer, request),
        }
    }

    /// Takes nothing more from this connection. The search costs about what the requests have cost that
    /// led to it. Takes the table's lock.
    fn reset(&self, peer: SocketAddr, request: Raw) {
        let socket = self.socket(peer);
        let cookie = socket.as_ref().map_or(0, ClientSocket::cookie);
        let waiting = self.table.lock().get_mut(&peer).map(|entry| {
            entry.closed.get_or_insert_with(|| Closed { since: Instant::now(), cookie });
            std::mem::take(&mut entry.waiting)
        });
        // Throws away what has come in; after an orderly end it would still be parsed.
        socket.inspect(ClientSocket::reset);
        waiting.into_iter().flatten().for_each(discard);
        discard(request);
    }

    /// Takes the table's lock.
    fn turn(&self, peer: SocketAddr, request: Raw) -> Turn {
        let mut table = self.table.lock();
        let entry = table.entry(peer).or_insert_with(|| {
            if !self.accepted.swap(true, Relaxed) {
                // Where it is full, it is known already.
                let _ = self.has_newcomers.try_send(());
            }
            Entry::new(Instant::now())
        });
        if let Some(closed) = entry.closed {
            Turn::FromClosed(request, closed)
        } else if entry.busy.is_none() {
            Turn::Now(request, entry.begin())
        } else if entry.has_room() {
            entry.wait(request);
            Turn::Later
        } else {
            Turn::TooMany(request)
        }
    }

    /// Bytes that were already in when we shut the connection down, which must not become a request;
    /// or, rarely, a new connection from the same port.
    fn arrived_after_close(self: &Arc<Self>, peer: SocketAddr, request: Raw, closed: Closed) {
        self.leave_to_guard(peer, request);
        // Of what a flood leaves behind there may be thousands; only now and then a search is paid for.
        let cookie = if self.may_search() { self.socket(peer).map(|socket| socket.cookie()) } else { None };
        if cookie.is_some_and(|cookie| cookie != closed.cookie) {
            self.settle(peer, true);
        }
    }

    /// The guard, who walks over all sockets anyway, will know whether this is a new connection. Takes
    /// the table's lock.
    fn leave_to_guard(&self, peer: SocketAddr, request: Raw) {
        let surplus = match self.table.lock().get_mut(&peer) {
            Some(entry) => {
                entry.waiting.push_back(request);
                entry.left_at = Some(Instant::now());
                // A new connection's would be the last; those before are what the closed one has left.
                if entry.waiting.len() > MAX_PIPELINED { entry.waiting.pop_front() } else { None }
            }
            None => Some(request),
        };
        if let Some(request) = surplus {
            discard(request);
        }
    }

    /// What was found out: does a new connection come from a closed one's port? Its request is the last
    /// that came, for a client waits for its first answer; those before must not be taken for requests.
    /// Takes the table's lock.
    pub(super) fn settle(self: &Arc<Self>, peer: SocketAddr, is_new: bool) {
        let mut waiting = match self.table.lock().get_mut(&peer) {
            Some(entry) if entry.busy.is_none() => {
                let waiting = std::mem::take(&mut entry.waiting);
                if is_new {
                    *entry = Entry::new(Instant::now());
                }
                waiting
            }
            _ => return,
        };
        let last = if is_new { waiting.pop_back() } else { None };
        waiting.into_iter().for_each(discard);
        if let Some(request) = last {
            self.arrived(request);
        }
    }

    fn may_search(&self) -> bool {
        let now = self.started.elapsed().as_millis() as u64;
        let last = self.last_search.load(Relaxed);
        now >= last + SEARCH_PAUSE.as_millis() as u64
            && self.last_search.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    /// The request that was let through has ended; the next one's turn. Takes the table's lock.
    fn ended(self: &Arc<Self>, peer: SocketAddr, was_last: bool) {
        let mut table = self.table.lock();
        let next = table.get_mut(&peer).and_then(|entry| {
            if entry.closed.is_some() {
                // What waits is thrown away, or a new connection's; see [`Connections::settle`].
                entry.busy = None;
                return None;
            }
            if was_last {
                // What waits is a new connection's, from the same port.
                entry.fd = None;
            }
            entry.end(Instant::now())
        });
        if was_last && next.is_none() && table.get(&peer).is_some_and(|entry| entry.closed.is_none()) {
            table.remove(&peer);
        }
        drop(table);
        if let Some((request, watch)) = next {
            self.let_through(peer, request, watch);
        }
    }

    fn let_through(self: &Arc<Self>, peer: SocketAddr, request: Raw, watch: Arc<Watch>) {
        (self.next)(request, Ticket { connections: Arc::clone(self), peer, watch, is_last: false });
    }

    /// Nothing more is taken from this connection. Takes the table's lock.
    fn close_entry(&self, peer: SocketAddr, cookie: u64) {
        if let Some(entry) = self.table.lock().get_mut(&peer) {
            entry.closed.get_or_insert_with(|| Closed { since: Instant::now(), cookie });
        }
    }

    /// The client's socket. Cheap where it has been seen lately; else searches the descriptors.
    pub(super) fn socket(&self, peer: SocketAddr) -> Option<ClientSocket> {
        let hint = self.table.lock().get(&peer).and_then(|entry| entry.fd);
        if let Some(socket) = hint.and_then(|fd| ClientSocket::at(fd, peer, self.local_port)) {
            return Some(socket);
        }
        let (fd, socket) = ClientSocket::find(peer, self.local_port, self.highest_fd.load(Relaxed))?;
        self.highest_fd.fetch_max(fd, Relaxed);
        if let Some(entry) = self.table.lock().get_mut(&peer) {
            entry.fd = Some(fd);
        }
        Some(socket)
    }
}

/// Throws a request away; tiny_http writes nothing for one whose writer was taken. Its connection must
/// be shut already where some of its body was not read. A body too long even to be thrown away is kept
/// instead: tiny_http's thread waits for it for ever, with two descriptors, and the guard counts it.
pub(super) fn discard(request: Raw) {
    if request.body_length().is_some_and(|length| length as u64 > MAX_ANNOUNCED_BODY) {
        std::mem::forget(request);
    } else {
        drop(request.into_writer());
    }
}

/// The right to be the one request of a connection; gives it on when dropped.
pub(super) struct Ticket {
    connections: Arc<Connections>,
    peer: SocketAddr,
    watch: Arc<Watch>,
    is_last: bool,
}

impl Ticket {
    /// No other request will come from this connection.
    pub(super) fn is_last(&mut self) {
        self.is_last = true;
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    pub(super) fn socket(&self) -> Option<ClientSocket> {
        self.connections.socket(self.peer)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.connections.draining.load(Relaxed)
    }

    pub(super) fn mark_closed(&self, cookie: u64) {
        self.connections.close_entry(self.peer, cookie);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.ended(self.peer, self.is_last);
    }
}
