//! tiny_http's servers on a listening socket, mostly one.
//!
//! tiny_http 0.12 stops accepting for good at the first error, of which running out of descriptors is
//! one; in one case out of two it says so, in the other its thread panics without a word. So the socket
//! is watched, not the library: connections that wait to be accepted while none is accepted mean that
//! nobody does, and another server is started on a clone of the socket, made beforehand. The old server
//! stays for the connections that it has.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use log::Level::{Debug, Error, Warn};
use parking_lot::Mutex;

use super::connections::Connections;
use super::rush::{self, Pace};
use super::sink::More;
use super::socket;
use crate::logging::event;

/// The stack of a thread that only waits and hands over.
const STACK_BYTES: usize = 128 << 10;
/// Shortest and longest pause between two recoveries.
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// How long accept loops get to end.
const PAUSE_LIMIT: Duration = Duration::from_secs(2);
/// A connection to oneself is there at once, or the queue is full and others do the same work.
const WAKE_LIMIT: Duration = Duration::from_millis(20);
/// Connections to oneself at one tick, at least: those that have sent something may stand in the queue behind
/// others that are forgotten, too, and still silent.
const MIN_NUDGES: usize = 32;
/// At most.
const MAX_NUDGES: usize = 64;
/// Between two connections that wake them.
const WAKE_PAUSE: Duration = Duration::from_millis(2);

/// Keeps a listening socket accepted from.
pub(super) struct Acceptor {
    listener: TcpListener,
    reserve: Option<TcpListener>,
    connections: Arc<Connections>,
    /// Since when connections wait although none is accepted.
    stuck_since: Option<Instant>,
    pause: Duration,
    next_try: Instant,
    client_write: Duration,
}

impl Acceptor {
    /// Starts the first server; see [`Acceptor::limit_writes`].
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    pub fn start(
        listener: TcpListener,
        connections: Arc<Connections>,
        write_limit: Duration,
    ) -> io::Result<Acceptor> {
        let reserve = Some(listener.try_clone()?);
        let mut acceptor = Acceptor {
            listener,
            reserve,
            connections,
            stuck_since: None,
            pause: MIN_PAUSE,
            next_try: Instant::now(),
            client_write: Duration::ZERO,
        };
        acceptor.limit_writes(write_limit);
        serve(acceptor.listener.try_clone()?, &acceptor.connections)?;
        Ok(acceptor)
    }

    /// Connections that are accepted from now on get this limit for each of their writes.
    pub fn limit_writes(&mut self, limit: Duration) {
        if limit != self.client_write {
            self.client_write = limit;
            if let Err(error) = socket2::SockRef::from(&self.listener).set_write_timeout(Some(limit)) {
                event(Error, "frontend", "the limit of writes was not set", &[("error", &error)]);
            }
        }
    }

    /// Called at each tick of the guard; `accepted` says whether a connection has come since the last.
    pub fn look_after(&mut self, accepted: bool, now: Instant) {
        if self.reserve.is_none() {
            self.reserve = self.listener.try_clone().ok();
        }
        let is_stuck = !accepted && socket::accept_queue(&self.listener) > 0;
        if !is_stuck || self.connections.draining.load(Relaxed) {
            self.stuck_since = None;
            return;
        }
        // Once is a matter of moments, twice in a row is nobody.
        if self.stuck_since.replace(now).is_some() && now >= self.next_try {
            self.recover(now);
        }
    }

    /// Frees connections whose thread tiny_http forgot to start, see [`super::guard`]: a connection that
    /// ends at once leaves a thread behind that takes up what was forgotten.
    pub fn nudge(&self, times: usize) {
        if times == 0 {
            return;
        }
        let Ok(address) = self.listener.local_addr().map(reachable) else { return };
        for _ in 0..times.clamp(MIN_NUDGES, MAX_NUDGES) {
            drop(TcpStream::connect_timeout(&address, WAKE_LIMIT));
        }
    }

    fn recover(&mut self, now: Instant) {
        let Some(listener) = self.reserve.take() else { return };
        // Where it has been long, start over with short pauses.
        self.pause =
            if now - self.next_try > MAX_PAUSE { MIN_PAUSE } else { (self.pause * 2).min(MAX_PAUSE) };
        self.next_try = now + self.pause;
        let result = serve(listener, &self.connections);
        let outcome = result.map_or_else(|error| error.to_string(), |()| "a new server accepts".to_owned());
        event(Warn, "acceptor", "nobody accepted connections", &[("now", &outcome)]);
    }
}

/// A tiny_http server with a thread that takes its requests in.
pub(super) fn serve(listener: TcpListener, connections: &Arc<Connections>) -> io::Result<()> {
    // tiny_http panics where it can't start its threads.
    let server = catch_unwind(AssertUnwindSafe(|| tiny_http::Server::from_listener(listener, None)))
        .map_err(|_| io::Error::other("no thread for the server"))?
        .map_err(|error| io::Error::other(error.to_string()))?;
    let (server, theirs) = (Arc::new(server), Arc::clone(connections));
    let work = move || accept(&server, &theirs);
    connections.accepting.fetch_add(1, SeqCst);
    thread::Builder::new().name("acceptor".into()).stack_size(STACK_BYTES).spawn(work)?;
    Ok(())
}

/// Stops all accept loops without touching what waits in the socket's queue: the socket no longer
/// blocks, and each loop ends at its first empty queue. Connections of our own wake those that wait.
pub(super) fn pause(listener: &TcpListener, connections: &Connections) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let address = reachable(listener.local_addr()?);
    let deadline = Instant::now() + PAUSE_LIMIT;
    // A loop that ended in a panic is counted for ever; the limit is for those.
    while connections.accepting.load(SeqCst) > 0 && Instant::now() < deadline {
        drop(TcpStream::connect_timeout(&address, PAUSE_LIMIT));
        thread::park_timeout(WAKE_PAUSE);
    }
    listener.set_nonblocking(false)
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

/// Takes requests in for as long as the process lives: when accepting has ended, open connections still
/// deliver.
fn accept(server: &Arc<tiny_http::Server>, connections: &Arc<Connections>) {
    let mut pace = Pace::new(Instant::now());
    loop {
        take_in(server.recv(), connections);
        if pace.is_rush(Instant::now(), || connections.sink.in_flight()) {
            rush(server, connections);
        }
    }
}

fn take_in(received: io::Result<tiny_http::Request>, connections: &Arc<Connections>) {
    match received {
        Ok(request) => {
            // A bug here would end whoever takes in: a worker, or the acceptor itself.
            if catch_unwind(AssertUnwindSafe(|| connections.arrived(request))).is_err() {
                event(Error, "acceptor", "panicked over a request", &[]);
            }
        }
        Err(error) => {
            connections.accepting.fetch_sub(1, SeqCst);
            let expected = connections.draining.load(Relaxed) || error.kind() == io::ErrorKind::WouldBlock;
            let level = if expected { Debug } else { Error };
            event(level, "acceptor", "stopped accepting", &[("reason", &error)]);
        }
    }
}

/// See [`super::rush`]. One thread at a time takes in, so that the requests of a connection stay in order.
fn rush(server: &Arc<tiny_http::Server>, connections: &Arc<Connections>) {
    let is_over = Arc::new(Mutex::new(false));
    let more: More = {
        let (server, connections) = (Arc::clone(server), Arc::clone(connections));
        let is_over = Arc::clone(&is_over);
        Arc::new(move || {
            // Who has the lock at the moment does it for all.
            if let Some(is_over) = is_over.try_lock()
                && !*is_over
            {
                take_in_all(&server, &connections);
            }
        })
    };
    if !connections.sink.begin_rush(Arc::clone(&more)) {
        return;
    }
    let (mut quiet, mut arrived) = (0, connections.arrivals.load(Relaxed));
    while quiet < rush::QUIET_NAPS {
        thread::park_timeout(rush::NAP);
        more();
        let is_anything_waiting = connections.sink.look();
        let now = connections.arrivals.load(Relaxed);
        quiet = if now == arrived && !is_anything_waiting { quiet + 1 } else { 0 };
        arrived = now;
    }
    connections.sink.end_rush();
    *is_over.lock() = true;
}

fn take_in_all(server: &tiny_http::Server, connections: &Arc<Connections>) {
    for _ in 0..rush::MOST_AT_ONCE {
        match server.try_recv() {
            Ok(None) => return,
            Ok(Some(request)) => take_in(Ok(request), connections),
            Err(error) => take_in(Err(error), connections),
        }
    }
}
