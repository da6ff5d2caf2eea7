//! Opens connections to one backend, keeps the idle ones, and never hands out a dead one knowingly.
//!
//! ureq's own pool is switched off: its walk over all idle connections at each use, its fixed idle
//! age and the buffers that it keeps are wrong for a proxy. Instead a connection that ureq is done
//! with comes back here when it is dropped (see `stream`), and the one that was used last is used
//! first, so that surplus connections grow old and go.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector};

use super::attempt;
use super::stream::BackendStream;
use super::wire::Wire;
use super::{Limits, Stage};
use crate::pool::AddressBook;

/// An idle connection.
struct Idle {
    stream: Arc<Wire>,
    since: Instant,
    /// How long it may be idle.
    most: Duration,
}

/// Makes a connection.
type Open = dyn Fn(&Limits) -> io::Result<Wire> + Send + Sync;

/// One backend's connections.
pub struct Link {
    open: Box<Open>,
    book: AddressBook,
    idle: Mutex<Vec<Idle>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({} idle)", self.idle.lock().len())
    }
}

impl Link {
    /// No connections yet; `open` makes one when the time comes. A kept one to an address that has left
    /// the book is not used again: whoever moves a name wants its clients to follow.
    pub fn new(
        open: impl Fn(&Limits) -> io::Result<Wire> + Send + Sync + 'static,
        book: AddressBook,
    ) -> Link {
        Link { open: Box::new(open), book, idle: Mutex::default() }
    }

    /// Keeps a connection for later; beyond `max_idle` the oldest goes. Takes a lock.
    pub fn put(&self, stream: Arc<Wire>, limits: &Limits) {
        let now = Instant::now();
        let mut surplus = Vec::new();
        let mut idle = self.idle.lock();
        idle.push(Idle { stream, since: now, most: limits.idle });
        // The oldest stand in front; usually none is too old, so this is one comparison.
        let old = idle.iter().take_while(|entry| now - entry.since >= limits.idle).count();
        let excess = idle.len().saturating_sub(limits.max_idle);
        surplus.extend(idle.drain(..old.max(excess)));
        drop(idle);
        drop(surplus); // closes sockets, so not under the lock
    }

    /// Closes those that have been idle for too long. Takes a lock.
    pub fn tidy(&self) {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        let old = idle.iter().take_while(|entry| now - entry.since >= entry.most).count();
        let surplus: Vec<Idle> = idle.drain(..old).collect();
        drop(idle);
        drop(surplus); // closes sockets, so not under the lock
    }

    /// The idle connection used last, if it is young enough, alive and still leads to the backend. Takes
    /// locks, one after the other.
    fn take(&self, limits: &Limits) -> Option<Arc<Wire>> {
        loop {
            let entry = self.idle.lock().pop()?;
            let is_young = entry.since.elapsed() < limits.idle;
            let leads_there = entry.stream.peer().is_none_or(|peer| self.book.leads_to(peer));
            if is_young && leads_there && entry.stream.is_silent() {
                return Some(entry.stream);
            }
        }
    }

    fn open(&self, limits: &Limits) -> io::Result<Arc<Wire>> {
        Ok(Arc::new((self.open)(limits)?))
    }
}

/// ureq's way to a [`Link`].
#[derive(Debug)]
pub struct LinkConnector(pub Arc<Link>);

impl Connector<()> for LinkConnector {
    type Out = BackendStream;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<BackendStream>, Error> {
        let (limits, may_reuse) =
            attempt::with(|attempt| (attempt.limits, attempt.may_reuse)).ok_or(Error::ConnectionFailed)?;
        let idle = if may_reuse { self.0.take(&limits) } else { None };
        let reused = idle.is_some();
        let stream = match idle {
            Some(stream) => stream,
            None => self.0.open(&limits)?,
        };
        let watch = attempt::with(|attempt| {
            attempt.reused = reused;
            attempt.stage = Stage::SendHead;
            attempt.watch.clone()
        });
        let keep = (limits.max_idle > 0).then(|| Arc::clone(&self.0));
        Ok(Some(BackendStream::new(stream, keep, limits, watch.flatten())))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    const LIMITS: Limits = Limits {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        max_idle: 2,
    };

    fn link(listener: &TcpListener) -> Link {
        let address = listener.local_addr().unwrap();
        let book = AddressBook::default();
        book.set(&[address]);
        Link::new(move |limits| Wire::tcp(&[address], limits.connect), book)
    }

    #[test]
    fn the_connection_used_last_is_used_first_and_surplus_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = link(&listener);
        let streams: Vec<_> = (0..3).map(|_| link.open(&LIMITS).unwrap()).collect();
        let last = Arc::clone(&streams[2]);
        streams.into_iter().for_each(|stream| link.put(stream, &LIMITS));
        assert!(Arc::ptr_eq(&link.take(&LIMITS).unwrap(), &last));
        assert!(link.take(&LIMITS).is_some());
        assert!(link.take(&LIMITS).is_none(), "the third was surplus");
    }

    #[test]
    fn closed_talking_old_and_misleading_connections_are_not_handed_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = link(&listener);
        link.put(link.open(&LIMITS).unwrap(), &LIMITS);
        drop(listener.accept().unwrap());
        assert!(link.take(&LIMITS).is_none(), "closed");

        link.put(link.open(&LIMITS).unwrap(), &LIMITS);
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"x").unwrap();
        assert!(link.take(&LIMITS).is_none(), "talks unasked");

        let stream = link.open(&LIMITS).unwrap();
        let _peer = listener.accept().unwrap();
        link.put(stream, &LIMITS);
        assert!(link.take(&Limits { idle: Duration::ZERO, ..LIMITS }).is_none(), "too old");

        let stream = link.open(&LIMITS).unwrap();
        let _peer = listener.accept().unwrap();
        link.put(stream, &LIMITS);
        link.book.set(&["127.0.0.2:1".parse().unwrap()]);
        assert!(link.take(&LIMITS).is_none(), "the name leads elsewhere now");
    }
}
