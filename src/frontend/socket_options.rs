//! Options of listening sockets.

use std::io;

use socket2::SockFilter;

use super::listen_socket::ListenSocket;

/// Least and greatest accept backlog; 4096 is also the kernel's default limit (`net.core.somaxconn`).
const ACCEPT_QUEUE: (usize, usize) = (64, 4096);

/// Sets options that accepted sockets inherit from the listening one on Linux, so that no call per connection
/// is needed. (A receive timeout would also end the accept loop, so it is not set.)
///
/// # Errors
/// The operating system's.
pub(super) fn set_socket_options(listener: &ListenSocket, max_connections: usize) -> io::Result<()> {
    let socket = socket2::SockRef::from(listener);
    // A previous process may have left it non-blocking.
    socket.set_nonblocking(false)?;
    admit_newcomers(listener);
    // std's backlog of 128 overflows in a burst, and while another process takes over.
    let (least, most) = ACCEPT_QUEUE;
    socket.listen(max_connections.clamp(least, most) as i32)?;
    if listener.address().tcp().is_none() {
        return Ok(());
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)
}

/// Reverts [`refuse_newcomers`].
pub(super) fn admit_newcomers(listener: &ListenSocket) {
    // Fails if there is no filter, which is the usual case.
    let _ = socket2::SockRef::from(listener).detach_filter();
}

/// Drops the SYNs of new connections. Handshakes already begun can still complete. When the socket is closed,
/// the client's next SYN is refused.
///
/// # Errors
/// The operating system's, if it does not support such filters.
pub(super) fn refuse_newcomers(listener: &ListenSocket) -> io::Result<()> {
    if listener.address().tcp().is_none() {
        // The file of a Unix socket has been removed, so nobody new can connect.
        return Ok(());
    }
    // Instructions of the kernel's classic packet filter (linux/filter.h), applied to the TCP header.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    socket2::SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_has_connected_stays_and_the_next_one_waits_until_they_are_admitted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = ListenSocket::inherited(listener.into()).unwrap();
        let address = listener.address().tcp().unwrap();
        let connect = |limit| TcpStream::connect_timeout(&address, limit);
        let before = connect(Duration::from_secs(5)).unwrap();
        refuse_newcomers(&listener).unwrap();
        assert!(connect(Duration::from_millis(100)).is_err());
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), before.local_addr().unwrap());
        admit_newcomers(&listener);
        assert!(connect(Duration::from_secs(5)).is_ok());
    }
}
