//! What the program may ask of a listener, whichever kind it is.

use std::io;

use super::listen_socket::ListenSocket;
use crate::config::ListenAddress;

/// A listener that is accepted from.
pub trait Listener: Send + Sync {
    /// Where it listens; the real port where port 0 was asked for.
    fn address(&self) -> &ListenAddress {
        self.listener().address()
    }

    /// From now on each answer says that it is its connection's last. New clients are still taken.
    fn announce_end(&self);

    /// Takes those who have connected by now, and stops accepting: new clients are refused. Requests on open
    /// connections still come in and are answered; connections that stay silent for a moment are closed.
    fn drain(&self);

    /// Stops accepting and leaves the socket as it is: clients that come now wait in its queue, for
    /// whoever accepts next. Returns when nobody here accepts any more.
    ///
    /// # Errors
    /// The operating system's; then accepting goes on.
    fn pause(&self) -> io::Result<()>;

    /// Accepts again after [`Listener::pause`].
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    fn resume(&self) -> io::Result<()>;

    /// As [`Listener::drain`], but the socket belongs to another process by now.
    fn drain_after_pause(&self);

    /// The process is about to end: whoever is still connected is told so, as far as their protocol has words
    /// for it.
    fn end(&self) {}

    /// How often each thread that hears clients has been round; it is at least a few times a second, whatever
    /// there is to do. tiny_http's own threads don't tell.
    fn rounds(&self) -> Vec<u64> {
        Vec::new()
    }

    /// The listening socket.
    fn listener(&self) -> &ListenSocket;

    /// Figures for the metrics and for a drain.
    fn counts(&self) -> Counts;
}

/// See [`Listener::counts`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Connections of clients that are open.
    pub client_connections: u64,
    /// Those of them whose last answer has not been taken whole by its client.
    pub unsent: u64,
    /// Whether somebody who is connected may still send a request that would be answered.
    pub may_hear_more: bool,
}
