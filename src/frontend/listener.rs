//! The interface of the program to any kind of listener.

use std::io;

use super::listen_socket::ListenSocket;
use crate::config::ListenAddress;

/// A listener that accepts connections.
pub trait Listener: Send + Sync {
    /// The address; the actual port if port 0 was requested.
    fn address(&self) -> &ListenAddress {
        self.listener().address()
    }

    /// Makes every answer announce the end of its connection. New connections are still accepted.
    fn announce_end(&self);

    /// Accepts the connections established so far, then stops accepting: new ones are refused. Open
    /// connections may still send requests, which are answered; those that stay silent for a moment are
    /// closed.
    fn drain(&self);

    /// Stops accepting but leaves the socket open: new connections wait in its backlog for the next process.
    /// Returns when no thread of this process accepts.
    ///
    /// # Errors
    /// The operating system's; accepting then continues.
    fn pause(&self) -> io::Result<()>;

    /// Accepts again after [`Listener::pause`].
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    fn resume(&self) -> io::Result<()>;

    /// Like [`Listener::drain`] after [`Listener::pause`], when the socket belongs to another process.
    fn drain_after_pause(&self);

    /// The process is about to end: tells connected clients so, if their protocol can (TLS close_notify).
    fn end(&self) {}

    /// Iterations of each event loop, at least a few a second however little there is to do. Empty for
    /// tiny_http, whose threads don't count.
    fn rounds(&self) -> Vec<u64> {
        Vec::new()
    }

    /// The listening socket.
    fn listener(&self) -> &ListenSocket;

    /// Figures for the metrics and for the drain.
    fn counts(&self) -> Counts;
}

/// See [`Listener::counts`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Open connections of clients.
    pub client_connections: u64,
    /// Connections whose last answer is not completely sent.
    pub unsent: u64,
    /// Whether a connected client may still send a request that would be answered.
    pub may_hear_more: bool,
}
