//! tiny_http's servers on a listening socket, mostly one.
//!
//! tiny_http 0.12 stops accepting for good at the first error, of which running out of descriptors is
//! one; in one case out of two it says so, in the other its thread panics without a word. So the socket
//! is watched, not the library: connections that wait to be accepted while none is accepted mean that
//! nobody does, and another server is started on a clone of the socket, made beforehand. The old server
//! stays for the connections that it has.

use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use log::Level::{Debug, Error, Warn};

use super::connections::Connections;
use super::socket;
use crate::logging::event;

/// The stack of a thread that only waits and hands over.
const STACK_BYTES: usize = 128 << 10;
/// Shortest and longest pause between two recoveries.
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Keeps a listening socket accepted from.
pub(super) struct Acceptor {
    listener: TcpListener,
    reserve: Option<TcpListener>,
    connections: Arc<Connections>,
    /// Since when connections wait although none is accepted.
    stuck_since: Option<Instant>,
    pause: Duration,
    next_try: Instant,
}

impl Acceptor {
    /// Starts the first server.
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    pub fn start(listener: TcpListener, connections: Arc<Connections>) -> io::Result<Acceptor> {
        serve(listener.try_clone()?, &connections)?;
        let reserve = Some(listener.try_clone()?);
        Ok(Acceptor {
            listener,
            reserve,
            connections,
            stuck_since: None,
            pause: MIN_PAUSE,
            next_try: Instant::now(),
        })
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
    let connections = Arc::clone(connections);
    let work = move || accept(&server, &connections);
    thread::Builder::new().name("acceptor".into()).stack_size(STACK_BYTES).spawn(work)?;
    Ok(())
}

/// Takes requests in for as long as the process lives: when accepting has ended, open connections still
/// deliver.
fn accept(server: &tiny_http::Server, connections: &Arc<Connections>) {
    loop {
        match server.recv() {
            Ok(request) => connections.arrived(request),
            Err(error) => {
                let level = if connections.draining.load(Relaxed) { Debug } else { Error };
                event(level, "acceptor", "stopped accepting", &[("reason", &error)]);
            }
        }
    }
}
