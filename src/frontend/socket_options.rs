//! Options of listening sockets.

use std::io;

use socket2::SockFilter;

use super::listen_socket::ListenSocket;

/// Connections that may wait to be accepted, at least and at most; the kernel's own limit
/// (`net.core.somaxconn`) is 4096, too.
const ACCEPT_QUEUE: (usize, usize) = (64, 4096);

/// Options that accepted sockets inherit from the listening one on Linux, so that none is set a
/// connection. (A receive timeout would end an accept loop, so it is not among them.)
///
/// # Errors
/// The operating system's.
pub(super) fn set_socket_options(listener: &ListenSocket, max_connections: usize) -> io::Result<()> {
    let socket = socket2::SockRef::from(listener);
    // A predecessor may have left it so.
    socket.set_nonblocking(false)?;
    admit_newcomers(listener);
    // std's queue of 128 overflows in a burst, and while one process takes over from another.
    let (least, most) = ACCEPT_QUEUE;
    socket.listen(max_connections.clamp(least, most) as i32)?;
    if listener.address().tcp().is_none() {
        return Ok(());
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)
}

/// Takes [`refuse_newcomers`] back.
pub(super) fn admit_newcomers(listener: &ListenSocket) {
    // Mostly there is nothing to take back, which is an error.
    let _ = socket2::SockRef::from(listener).detach_filter();
}

/// From now on nobody begins to connect: requests for a connection go unheard, and when the socket is closed the
/// next try is refused. Who has begun before can still end it.
///
/// # Errors
/// The operating system's, where it knows no such filters.
pub(super) fn refuse_newcomers(listener: &ListenSocket) -> io::Result<()> {
    if listener.address().tcp().is_none() {
        // Its file is gone, so nobody begins.
        return Ok(());
    }
    // Instructions of the kernel's classic packet filter (linux/filter.h), over a TCP header.
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
