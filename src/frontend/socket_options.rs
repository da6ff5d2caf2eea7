//! Options of listening sockets.

use std::io;
use std::net::TcpListener;

/// Connections that may wait to be accepted, at least and at most; the kernel's own limit
/// (`net.core.somaxconn`) is 4096, too.
const ACCEPT_QUEUE: (usize, usize) = (64, 4096);

/// Options that accepted sockets inherit from the listening one on Linux, so that none is set a
/// connection. (A receive timeout would end an accept loop, so it is not among them.)
///
/// # Errors
/// The operating system's.
pub(super) fn set_socket_options(listener: &TcpListener, max_connections: usize) -> io::Result<()> {
    let socket = socket2::SockRef::from(listener);
    // A predecessor may have left it so.
    socket.set_nonblocking(false)?;
    // std's queue of 128 overflows in a burst, and while one process takes over from another.
    let (least, most) = ACCEPT_QUEUE;
    socket.listen(max_connections.clamp(least, most) as i32)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)
}
