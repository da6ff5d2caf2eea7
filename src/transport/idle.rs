//! One backend's idle connections: opens one when none serves, keeps them, never hands out a dead one
//! knowingly.
//!
//! The one that was used last is used first, so that surplus connections grow old and go.
//!
//! Some servers close after an answer without having said so. A connection is *proven* once it has carried a
//! second exchange, or has stayed open for a moment behind an answer; what can't be sent again takes only
//! such a one, or a fresh one. The moment is longer where no connection of the backend has ever carried a second
//! exchange: one that is busy may be late to close. And it takes none that has been idle for longer than any server
//! lets one be, unless the backend has said how long that is: what was seen of it may differ the next time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::limits::Limits;
use super::wire::Wire;
use crate::pool::{IdleSource, IdleTime, ResolvedAddresses};
use crate::traffic::Traffic;
use parking_lot::Mutex;

/// A connection that is still open so long after an answer is one that its backend keeps ...
const PROVEN_AFTER: Duration = Duration::from_millis(20);
/// ... where the backend is known to keep any; else after this.
const PROVEN_AFTER_AT_FIRST: Duration = Duration::from_millis(250);
/// So is one that has carried that many exchanges.
const PROVEN_BY: u32 = 2;
/// What can't be sent again takes none that has been idle for longer, where the backend announces no time: the
/// shortest that a server was seen to keep one is a second (docs/BACKENDS.md).
const UNANNOUNCED: Duration = Duration::from_millis(800);

/// An idle connection.
struct Idle {
    stream: Arc<Wire>,
    /// Exchanges that it has carried.
    served: u32,
    since: Instant,
    /// How long it may be idle.
    most: Duration,
}

/// Makes a connection.
type Open = dyn Fn(&Limits) -> io::Result<Wire> + Send + Sync;

/// One backend's connections.
pub struct ConnectionPool {
    open: Box<Open>,
    book: ResolvedAddresses,
    idle: Mutex<Vec<Idle>>,
    /// The backend was seen to keep a connection, and not to close one without a word since.
    keeps: AtomicBool,
    /// How long they last.
    idle_time: Arc<IdleTime>,
    /// What passes on all of them.
    pub traffic: Arc<Traffic>,
}

impl std::fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConnectionPool({} idle)", self.idle.lock().len())
    }
}

impl ConnectionPool {
    /// No connections yet; `open` makes one when the time comes. A kept one to an address that has left
    /// the book is not used again: whoever moves a name wants its clients to follow.
    pub fn new(
        open: impl Fn(&Limits) -> io::Result<Wire> + Send + Sync + 'static,
        book: ResolvedAddresses,
        idle_time: Arc<IdleTime>,
        traffic: Arc<Traffic>,
    ) -> ConnectionPool {
        let (idle, keeps) = (Mutex::default(), AtomicBool::new(false));
        ConnectionPool { open: Box::new(open), book, idle, keeps, idle_time, traffic }
    }

    /// Keeps a connection that has served so often for later; beyond `max_idle` the oldest goes. Takes a
    /// lock.
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
        // The oldest stand in front; usually none is too old, so this is one comparison.
        let old = idle.iter().take_while(|entry| now - entry.since >= most).count();
        let excess = idle.len().saturating_sub(limits.max_idle);
        surplus.extend(idle.drain(..old.max(excess)));
        drop(idle);
        drop(surplus); // closes sockets, so not under the lock
    }

    /// The backend has said in an answer how long it keeps idle connections.
    pub fn announced(&self, value: &[u8]) {
        self.idle_time.announced(value);
    }

    /// Closes those that have been idle for too long, and those that the backend has closed. Takes locks, one after
    /// the other.
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

    /// The idle connection used last that is young enough, alive, still leads to the backend and, where that
    /// is asked for, proven; and how often it has served. Takes locks, one after the other.
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

    /// Only of one that it had kept: others are closed after each answer, or by a restart.
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
        // The oldest stand in front.
        let first_young = idle.len() - idle.iter().rev().take_while(|entry| now - entry.since < most).count();
        if let Some(place) = (first_young..idle.len()).rev().find(|place| is_proven(&idle[*place])) {
            return Some(idle.remove(place));
        }
        // One that is too old makes room for the new one: a backend may serve only so many connections at once.
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
    /// The operating system's, or that the backend can't be trusted.
    pub fn open(&self, limits: &Limits) -> io::Result<Arc<Wire>> {
        Ok(Arc::new((self.open)(limits)?))
    }
}

#[cfg(test)]
mod tests;
