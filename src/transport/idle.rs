//! The idle connections to one backend: opens a connection if none is suitable, keeps returned ones, and
//! never hands out one that is known to be dead.
//!
//! The connection used last is reused first, so that surplus ones grow old and are closed.
//!
//! Some servers close after an answer without announcing it. A connection is *proven* when it has carried a
//! second exchange, or has stayed open for a moment after an answer. A request that can't be sent again only
//! gets a proven connection or a new one. The moment is longer while no connection to the backend has carried
//! a second exchange: a busy backend may be late to close. Such a request also gets no connection that has
//! been idle for longer than the shortest idle timeout of any server, unless the backend has announced its
//! own: an observed timeout may differ the next time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::limits::Limits;
use super::wire::Wire;
use crate::pool::{IdleSource, IdleTime, ResolvedAddresses};
use crate::traffic::Traffic;
use parking_lot::Mutex;

/// A connection still open this long after an answer is proven ...
const PROVEN_AFTER: Duration = Duration::from_millis(20);
/// ... if the backend is known to keep connections; else after this time.
const PROVEN_AFTER_AT_FIRST: Duration = Duration::from_millis(250);
/// A connection that has carried this many exchanges is proven.
const PROVEN_BY: u32 = 2;
/// A request that can't be sent again gets no connection that has been idle for longer, unless the backend
/// announces its timeout: the shortest idle timeout seen in a server is a second (docs/BACKENDS.md).
const UNANNOUNCED: Duration = Duration::from_millis(800);

/// An idle connection.
struct Idle {
    stream: Arc<Wire>,
    /// Exchanges that the connection has carried.
    served: u32,
    since: Instant,
    /// How long the connection may be idle.
    most: Duration,
}

/// Opens a connection.
type Open = dyn Fn(&Limits) -> io::Result<Wire> + Send + Sync;

/// One backend's connections.
pub struct ConnectionPool {
    open: Box<Open>,
    book: ResolvedAddresses,
    idle: Mutex<Vec<Idle>>,
    /// Whether the backend has kept a connection, and has not since closed one unannounced.
    keeps: AtomicBool,
    /// The learned idle timeout of the backend.
    idle_time: Arc<IdleTime>,
    /// Counts the bytes of all connections.
    pub traffic: Arc<Traffic>,
}

impl std::fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConnectionPool({} idle)", self.idle.lock().len())
    }
}

impl ConnectionPool {
    /// An empty pool; `open` makes connections. A connection to an address that has left `book` is not
    /// reused: clients must follow a name that is moved.
    pub fn new(
        open: impl Fn(&Limits) -> io::Result<Wire> + Send + Sync + 'static,
        book: ResolvedAddresses,
        idle_time: Arc<IdleTime>,
        traffic: Arc<Traffic>,
    ) -> ConnectionPool {
        let (idle, keeps) = (Mutex::default(), AtomicBool::new(false));
        ConnectionPool { open: Box::new(open), book, idle, keeps, idle_time, traffic }
    }

    /// Keeps a connection that has carried `served` exchanges; beyond `max_idle` the oldest is closed. Takes
    /// a lock.
    pub fn put(&self, stream: Arc<Wire>, served: u32, limits: &Limits) {
        if limits.max_idle == 0 || limits.idle.is_zero() {
            return;
        }
        if served >= PROVEN_BY {
            self.keeps.store(true, Relaxed);
        }
        let (now, (most, _)) = (Instant::now(), self.idle_time.limit(limits.idle));
        let mut surplus = Vec::new();
        let mut idle = self.idle.lock();
        idle.push(Idle { stream, served, since: now, most });
        // The oldest come first; usually none is too old, so this is one comparison.
        let old = idle.iter().take_while(|entry| now - entry.since >= most).count();
        let excess = idle.len().saturating_sub(limits.max_idle);
        surplus.extend(idle.drain(..old.max(excess)));
        drop(idle);
        drop(surplus); // closes sockets, so not under the lock
    }

    /// Records the backend's `Keep-Alive` field.
    pub fn announced(&self, value: &[u8]) {
        self.idle_time.announced(value);
    }

    /// Closes connections that have been idle for too long or that the backend has closed. Takes locks, one
    /// after the other.
    pub fn tidy(&self) {
        let now = Instant::now();
        self.idle_time.look(now);
        let mut idle = self.idle.lock();
        let old = idle.iter().take_while(|entry| now - entry.since >= entry.most).count();
        let mut surplus: Vec<Idle> = idle.drain(..old).collect();
        let closed = idle.extract_if(.., |entry| !entry.stream.is_silent());
        let first_closed = surplus.len();
        surplus.extend(closed);
        drop(idle);
        for entry in &surplus[first_closed..] {
            self.has_closed(entry, now);
        }
        drop(surplus); // closes sockets, so not under the lock
    }

    /// The most recently used idle connection that is young enough, alive, to a current address and, if
    /// `proven`, proven; with the exchanges it has carried. Takes locks, one after the other.
    pub fn take(&self, limits: &Limits, proven: bool) -> Option<(Arc<Wire>, u32)> {
        loop {
            let entry = if proven { self.pop_proven(limits) } else { self.idle.lock().pop() }?;
            let is_young = entry.since.elapsed() < self.idle_time.limit(limits.idle).0;
            let leads_there = entry.stream.peer().is_none_or(|peer| self.book.leads_to(peer));
            if is_young && leads_there {
                if entry.stream.is_silent() {
                    return Some((entry.stream, entry.served));
                }
                self.has_closed(&entry, Instant::now());
                if entry.served < PROVEN_BY {
                    self.keeps.store(false, Relaxed);
                }
            }
        }
    }

    /// Learns from a close, if the backend keeps connections: others close after each answer, or by a
    /// restart.
    fn has_closed(&self, entry: &Idle, now: Instant) {
        if self.keeps.load(Relaxed) {
            self.idle_time.closed_after(now.saturating_duration_since(entry.since), now);
        }
    }

    /// Takes locks, one after the other.
    fn pop_proven(&self, limits: &Limits) -> Option<Idle> {
        let moment = if self.keeps.load(Relaxed) { PROVEN_AFTER } else { PROVEN_AFTER_AT_FIRST };
        let most = match self.idle_time.limit(limits.idle) {
            (most, IdleSource::Announced) => most,
            (most, _) => most.min(UNANNOUNCED),
        };
        let now = Instant::now();
        let is_proven = |entry: &Idle| entry.served >= PROVEN_BY || now - entry.since >= moment;
        let mut idle = self.idle.lock();
        // The oldest come first.
        let first_young = idle.len() - idle.iter().rev().take_while(|entry| now - entry.since < most).count();
        if let Some(place) = (first_young..idle.len()).rev().find(|place| is_proven(&idle[*place])) {
            return Some(idle.remove(place));
        }
        // Closes one old connection to make room for the new one: a backend may limit its connections.
        let old = first_young.checked_sub(1).map(|place| idle.remove(place));
        drop(idle);
        if let Some(old) = old.filter(|old| !old.stream.is_silent()) {
            self.has_closed(&old, now);
        }
        None
    }

    /// A new connection.
    ///
    /// # Errors
    /// The operating system's, or that the backend's certificate can't be trusted.
    pub fn open(&self, limits: &Limits) -> io::Result<Arc<Wire>> {
        Ok(Arc::new((self.open)(limits)?))
    }
}

#[cfg(test)]
mod tests;
