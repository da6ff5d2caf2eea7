//! What the program may ask of a listener, whether tiny_http or the checking front accepts on it.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::connections::Counts;

/// A listener that is accepted from.
pub trait Door: Send + Sync {
    /// Where it listens; the real port where port 0 was asked for.
    fn address(&self) -> SocketAddr;

    /// Stops accepting: new clients are refused from now on. Requests on open connections still come
    /// in, are answered with `Connection: close`, and idle connections are closed.
    fn drain(&self);

    /// Stops accepting and leaves the socket as it is: clients that come now wait in its queue, for
    /// whoever accepts next. Returns when nobody here accepts any more.
    ///
    /// # Errors
    /// The operating system's; then accepting goes on.
    fn pause(&self) -> io::Result<()>;

    /// Accepts again after [`Door::pause`].
    ///
    /// # Errors
    /// The operating system's, for sockets and threads.
    fn resume(&self) -> io::Result<()>;

    /// As [`Door::drain`], but the socket belongs to another process by now.
    fn drain_after_pause(&self);

    /// The process is about to end: whoever is still connected is told so, as far as their protocol has words
    /// for it.
    fn end(&self) {}

    /// The listening socket.
    fn listener(&self) -> &TcpListener;

    /// Figures for the metrics.
    fn counts(&self) -> Counts;
}
