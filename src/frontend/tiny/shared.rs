//! State that the threads of a tiny_http listener share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::socket::ClientSocket;
use crate::frontend::Dispatch;
use crate::traffic::Traffic;

/// See the module.
pub(super) struct Shared {
    pub port: u16,
    pub dispatch: Arc<dyn Dispatch>,
    pub traffic: Arc<Traffic>,
    pub accepting: AtomicBool,
    /// Every answer announces the end of its connection (`Connection: close`).
    pub ends: AtomicBool,
    /// The accept loop is to end.
    pub stops: AtomicBool,
    /// Requests in progress.
    pub requests: AtomicUsize,
    /// Requests so far.
    pub arrived: AtomicUsize,
    /// In a drain, when a request last ended, or when the drain began.
    pub last: Mutex<Instant>,
    /// Connections that are closed or about to be. tiny_http may already have read more requests from them,
    /// which must be discarded.
    doomed: Mutex<HashMap<SocketAddr, Doomed>>,
}

/// See [`Shared::doom`].
struct Doomed {
    /// The kernel's cookie of the connection, to distinguish it from a later one of the same peer.
    cookie: u64,
    since: Instant,
}

/// After this time, tiny_http has delivered all requests of a closed connection.
const DOOMED: Duration = Duration::from_secs(10);

impl Shared {
    pub fn new(port: u16, dispatch: Arc<dyn Dispatch>, traffic: Arc<Traffic>) -> Shared {
        Shared {
            port,
            dispatch,
            traffic,
            accepting: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            arrived: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
            doomed: Mutex::default(),
        }
    }

    pub fn keeps_alive(&self) -> bool {
        !self.ends.load(SeqCst)
    }

    /// Discards all further requests of this connection. Takes a lock.
    pub fn doom(&self, peer: SocketAddr, cookie: u64) {
        let now = Instant::now();
        let mut doomed = self.doomed.lock();
        doomed.retain(|_, doomed| now.saturating_duration_since(doomed.since) < DOOMED);
        doomed.insert(peer, Doomed { cookie, since: now });
    }

    /// Whether requests of this connection are to be discarded. Takes a lock.
    pub fn is_doomed(&self, peer: SocketAddr) -> bool {
        let cookie = match self.doomed.lock().get(&peer) {
            Some(doomed) if doomed.since.elapsed() < DOOMED => doomed.cookie,
            _ => return false,
        };
        let is_same = ClientSocket::find(peer, self.port).is_none_or(|socket| socket.cookie() == cookie);
        if !is_same {
            self.doomed.lock().remove(&peer);
        }
        is_same
    }

    pub fn began(&self) {
        self.requests.fetch_add(1, SeqCst);
        self.arrived.fetch_add(1, SeqCst);
    }

    /// Takes a lock.
    pub fn ended(&self) {
        self.requests.fetch_sub(1, SeqCst);
        if self.ends.load(SeqCst) {
            *self.last.lock() = Instant::now();
        }
    }
}
