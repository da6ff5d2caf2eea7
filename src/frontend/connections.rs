//! The table of client connections: one request of each is let through at a time, the rest of a
//! pipelining client waits in its connection's own short queue.
//!
//! tiny_http delivers pipelined requests at once and without bound, and a worker that answers the
//! second before the first blocks. Keyed by the peer's address, which is unique among living sockets.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;

use super::socket::ClientSocket;

/// Requests that a connection may have waiting; browsers that ever pipelined sent 4 to 8.
const MAX_PIPELINED: usize = 16;

/// One connection.
pub(super) struct Entry {
    /// A request of it is queued or with a worker.
    pub busy: bool,
    /// Pipelined requests behind that one.
    pub waiting: VecDeque<tiny_http::Request>,
    /// We have shut it down; what still comes from it is thrown away.
    pub closed: Option<Closed>,
    /// Where its descriptor was last seen.
    pub fd: Option<RawFd>,
    /// Bytes received when its last request ended; `None` until the guard has looked.
    pub mark: Option<u64>,
    /// Since when it has been idle, or its head under way.
    pub since: Instant,
    /// Whether a head is under way.
    pub partial: bool,
}

/// A connection that we have shut down and that may still be in tiny_http's hands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    /// Since when.
    pub since: Instant,
    /// The kernel's number of it, to tell it from a later connection of the same peer; 0 if unknown.
    pub cookie: u64,
}

impl Entry {
    pub(super) fn new(now: Instant) -> Entry {
        Entry {
            busy: false,
            waiting: VecDeque::new(),
            closed: None,
            fd: None,
            mark: None,
            since: now,
            partial: false,
        }
    }
}

/// All connections of one listener.
pub(super) struct Connections {
    pub(super) table: Mutex<HashMap<SocketAddr, Entry>>,
    pub(super) local_port: u16,
    pub(super) draining: AtomicBool,
    pub(super) open: AtomicU64,
    next: Box<dyn Fn(tiny_http::Request, Ticket) + Send + Sync>,
}

/// Figures for the metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Connections of clients that are open.
    pub client_connections: u64,
}

/// What a new request meets.
enum Turn {
    Now,
    Later,
    FromClosed(tiny_http::Request, Closed),
    Discard(tiny_http::Request, VecDeque<tiny_http::Request>),
}

impl Connections {
    /// `next` gets each request when its turn has come.
    pub(super) fn new(
        local_port: u16,
        next: impl Fn(tiny_http::Request, Ticket) + Send + Sync + 'static,
    ) -> Arc<Connections> {
        Arc::new(Connections {
            table: Mutex::default(),
            local_port,
            draining: AtomicBool::new(false),
            open: AtomicU64::new(0),
            next: Box::new(next),
        })
    }

    /// Takes in a request that tiny_http has read.
    pub(super) fn arrived(self: &Arc<Self>, request: tiny_http::Request) {
        let Some(peer) = request.remote_addr().copied() else { return discard(request) };
        let mut slot = Some(request);
        match self.turn(peer, &mut slot) {
            Turn::Now => {
                if let Some(request) = slot {
                    (self.next)(request, Ticket { connections: Arc::clone(self), peer });
                }
            }
            Turn::Later => {}
            Turn::FromClosed(request, closed) => self.arrived_after_close(peer, request, closed),
            Turn::Discard(request, waiting) => {
                if let Some(socket) = self.socket(peer) {
                    socket.reset();
                }
                // Each before the one it waits for, the newest first.
                discard(request);
                waiting.into_iter().rev().for_each(discard);
            }
        }
    }

    /// Takes the table's lock.
    fn turn(&self, peer: SocketAddr, slot: &mut Option<tiny_http::Request>) -> Turn {
        let mut table = self.table.lock();
        let entry = table.entry(peer).or_insert_with(|| Entry::new(Instant::now()));
        let Some(request) = slot.take() else { return Turn::Later };
        if let Some(closed) = entry.closed {
            return Turn::FromClosed(request, closed);
        }
        if !entry.busy {
            entry.busy = true;
            *slot = Some(request);
            return Turn::Now;
        }
        if entry.waiting.len() < MAX_PIPELINED {
            entry.waiting.push_back(request);
            return Turn::Later;
        }
        entry.closed = Some(Closed { since: Instant::now(), cookie: 0 });
        Turn::Discard(request, std::mem::take(&mut entry.waiting))
    }

    /// Bytes that were already in when we shut the connection down, which must not become a request;
    /// or, rarely, a new connection from the same port.
    fn arrived_after_close(self: &Arc<Self>, peer: SocketAddr, request: tiny_http::Request, closed: Closed) {
        let is_new =
            self.socket(peer).is_some_and(|socket| closed.cookie != 0 && socket.cookie() != closed.cookie);
        if !is_new {
            return discard(request);
        }
        {
            let mut table = self.table.lock();
            let Some(entry) = table.get_mut(&peer).filter(|entry| !entry.busy) else {
                drop(table);
                return discard(request);
            };
            *entry = Entry { busy: true, ..Entry::new(Instant::now()) };
        }
        (self.next)(request, Ticket { connections: Arc::clone(self), peer });
    }

    /// The request that was let through has ended; the next one's turn. Takes the table's lock.
    fn ended(self: &Arc<Self>, peer: SocketAddr) {
        let mut discarded = VecDeque::new();
        let next = {
            let mut table = self.table.lock();
            let Some(entry) = table.get_mut(&peer) else { return };
            if entry.closed.is_some() {
                discarded = std::mem::take(&mut entry.waiting);
            }
            let next = entry.waiting.pop_front();
            entry.busy = next.is_some();
            entry.mark = None;
            entry.partial = false;
            entry.since = Instant::now();
            next
        };
        discarded.into_iter().rev().for_each(discard);
        if let Some(request) = next {
            (self.next)(request, Ticket { connections: Arc::clone(self), peer });
        }
    }

    /// The client's socket. Cheap where the guard has seen it lately; else walks the descriptors.
    pub(super) fn socket(&self, peer: SocketAddr) -> Option<ClientSocket> {
        let hint = self.table.lock().get(&peer).and_then(|entry| entry.fd);
        hint.and_then(|fd| ClientSocket::at(fd, peer, self.local_port))
            .or_else(|| ClientSocket::find(peer, self.local_port))
    }
}

/// Throws a request away; tiny_http writes nothing for one whose writer was taken.
fn discard(request: tiny_http::Request) {
    drop(request.into_writer());
}

/// The right to be the one request of a connection; gives it on when dropped.
pub(super) struct Ticket {
    connections: Arc<Connections>,
    peer: SocketAddr,
}

impl Ticket {
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn socket(&self) -> Option<ClientSocket> {
        self.connections.socket(self.peer)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.connections.draining.load(Relaxed)
    }

    /// Nothing more is taken from this connection. Takes the table's lock.
    pub(super) fn mark_closed(&self, cookie: u64) {
        if let Some(entry) = self.connections.table.lock().get_mut(&self.peer) {
            entry.closed.get_or_insert_with(|| Closed { since: Instant::now(), cookie });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.ended(self.peer);
    }
}
