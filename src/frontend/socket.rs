//! A hold on a client's socket beside tiny_http, which shows none: found among the process's own
//! descriptors by its peer address, and duplicated, so that it can't become another one meanwhile.
//!
//! This is the only module (with `allocator`) that may use `unsafe`. The argument is the same for
//! every [`borrow`]: the number may belong to no descriptor, or to another one by now, and the system
//! calls made on it ([`SocketAddr`] of the peer, its own address, TCP_INFO, a duplicate) only ask;
//! they change nothing and fail cleanly on what is no socket. Whatever acts (writing, closing) goes
//! through a [`ClientSocket`], a duplicate of our own whose peer was checked after it was made.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags};

/// Numbers tried at a time beyond the highest one seen; connections that are younger than that are there,
/// for the system gives out the lowest number that is free.
const BEYOND_LIKELY: RawFd = 256;

/// Descriptors looked at in a walk before others may run: some 50 µs.
const AT_A_TIME: RawFd = 64;

/// A duplicate of a client connection's descriptor; closing it leaves tiny_http's alone.
#[derive(Debug)]
pub struct ClientSocket(OwnedFd);

/// A connection seen in a walk over the descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The number, a hint for [`ClientSocket::at`].
    pub fd: RawFd,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Bytes that have come in on it so far, whether read or not.
    pub received_bytes: u64,
    /// Whether the client has ended its side or is gone, even if not all it sent was read.
    pub ended: bool,
}

/// What a walk over the descriptors found of one listener.
#[derive(Debug, Default)]
pub struct Walk {
    /// Connections that have a client.
    pub seen: Vec<Seen>,
    /// Descriptors of connections that have none any more: soon closed, or lost for good.
    pub dead: Vec<RawFd>,
    /// The highest descriptor of the process, whatever it is.
    pub highest: RawFd,
}

/// All connections accepted on this port, each once. Looks at the numbers up to `likely`, and beyond for
/// as long as there are descriptors. Costs less than 1 µs a descriptor of the process, and lets others run
/// meanwhile.
pub fn walk(local_port: u16, likely: RawFd) -> Walk {
    let (mut walk, mut known) = (Walk::default(), HashSet::new());
    let mut block = 0..likely + BEYOND_LIKELY;
    loop {
        let highest_before = walk.highest;
        for fd in block.clone() {
            if fd % AT_A_TIME == 0 {
                thread::yield_now();
            }
            walk.look_at(fd, local_port, &mut known);
        }
        if walk.highest == highest_before {
            return walk;
        }
        block = block.end..block.end + BEYOND_LIKELY;
    }
}

impl Walk {
    fn look_at(&mut self, fd: RawFd, local_port: u16, known: &mut HashSet<SocketAddr>) {
        let Some(borrowed) = borrow(fd) else { return };
        let peer = match rustix::net::getpeername(borrowed) {
            Err(rustix::io::Errno::BADF) => return,
            Ok(Some(peer)) => SocketAddr::try_from(peer).ok(),
            Ok(None) | Err(_) => None,
        };
        self.highest = fd;
        match peer {
            // tiny_http holds each connection twice; the lower number is the one it keeps longer.
            Some(peer) if known.contains(&peer) => {}
            Some(peer) if is_of(borrowed, local_port) => {
                known.insert(peer);
                let (received_bytes, ended) = received(fd);
                self.seen.push(Seen { fd, peer, received_bytes, ended });
            }
            Some(_) => {}
            None if is_dead(fd, local_port) => self.dead.push(fd),
            None => {}
        }
    }
}

fn is_of(fd: BorrowedFd<'_>, local_port: u16) -> bool {
    let local = rustix::net::getsockname(fd).ok().and_then(|address| SocketAddr::try_from(address).ok());
    local.is_some_and(|address| address.port() == local_port)
}

/// A socket of this port that is neither connected nor listening.
fn is_dead(fd: RawFd, local_port: u16) -> bool {
    let Some(fd) = borrow(fd) else { return false };
    is_of(fd, local_port)
        && rustix::net::getpeername(fd) == Err(rustix::io::Errno::NOTCONN)
        && rustix::net::sockopt::socket_acceptconn(fd) == Ok(false)
}

/// Bytes that have come in and that nobody has read yet.
pub fn unread_bytes(fd: RawFd) -> u64 {
    borrow(fd).and_then(|fd| rustix::io::ioctl_fionread(fd).ok()).unwrap_or(0)
}

/// Segments that the socket filter has dropped on this connection; 0 where the kernel does not tell.
pub fn dropped_segments(fd: RawFd) -> u32 {
    /// `SO_MEMINFO` (asm-generic/socket.h) and the place of `SK_MEMINFO_DROPS` (linux/sock_diag.h) in it.
    const SO_MEMINFO: libc::c_int = 55;
    const DROPS: usize = 8;
    let mut info = [0u32; 16];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the pointers are to live local memory of the length given, and the kernel writes at
    // most that much; a bad descriptor makes it fail.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, SO_MEMINFO, info.as_mut_ptr().cast(), &raw mut length)
    };
    if result == 0 && length as usize >= (DROPS + 1) * size_of::<u32>() { info[DROPS] } else { 0 }
}

/// Connections that wait to be accepted; 0 where the kernel does not tell.
pub fn accept_queue(listener: &std::net::TcpListener) -> u32 {
    /// `tcpi_unacked`, which for a listening socket is the length of its queue.
    const OFFSET: usize = 24;
    tcp_info(listener.as_raw_fd())
        .filter(|(_, length)| *length >= OFFSET + 4)
        .map_or(0, |(info, _)| u32::from_ne_bytes(info[OFFSET..OFFSET + 4].try_into().unwrap_or_default()))
}

/// Only asks; see the module's argument.
fn borrow(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: not -1, and only used for system calls that ask and fail cleanly on a number that is
    // closed or reused meanwhile.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

fn is_open(fd: RawFd) -> bool {
    borrow(fd).is_some_and(|fd| rustix::io::fcntl_getfd(fd).is_ok())
}

/// Whether the connection from this peer is at that number. Mostly it is not, and one call says so.
pub fn is_at(fd: RawFd, peer: SocketAddr, local_port: u16) -> bool {
    let Some(borrowed) = borrow(fd) else { return false };
    let found = rustix::net::getpeername(borrowed).ok().flatten();
    found.and_then(|found| SocketAddr::try_from(found).ok()) == Some(peer)
        && peer_of(fd, local_port) == Some(peer)
}

fn peer_of(fd: RawFd, local_port: u16) -> Option<SocketAddr> {
    let fd = borrow(fd)?;
    let peer = SocketAddr::try_from(rustix::net::getpeername(fd).ok()??).ok()?;
    is_of(fd, local_port).then_some(peer)
}

/// How much has come in (`tcpi_bytes_received` of TCP_INFO, RFC 4898's tcpEStatsAppHCThruOctetsReceived,
/// which the libc crate's struct lacks), and whether the client has ended its side (`tcpi_state`). A poll
/// would not do for the latter: tiny_http 0.12 shuts its own reading side after a request that is the
/// last, which polls alike.
fn received(fd: RawFd) -> (u64, bool) {
    const OFFSET: usize = 128;
    /// TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK and CLOSING (net/tcp_states.h).
    const ENDED: [u8; 5] = [6, 7, 8, 9, 11];
    tcp_info(fd).filter(|(_, length)| *length >= OFFSET + 8).map_or((0, false), |(info, _)| {
        let bytes = info[OFFSET..OFFSET + 8].try_into().unwrap_or_default();
        (u64::from_ne_bytes(bytes), ENDED.contains(&info[0]))
    })
}

fn tcp_info(fd: RawFd) -> Option<([u8; 256], usize)> {
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the pointers are to live local memory of the length given, and the kernel writes at
    // most that much; a bad descriptor makes it fail.
    let result = unsafe {
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length)
    };
    (result == 0).then_some((info, length as usize))
}

impl ClientSocket {
    /// The connection from this peer, if it is (still) at that number.
    pub fn at(fd: RawFd, peer: SocketAddr, local_port: u16) -> Option<ClientSocket> {
        let duplicate = rustix::io::fcntl_dupfd_cloexec(borrow(fd)?, 3).ok()?;
        (peer_of(duplicate.as_raw_fd(), local_port) == Some(peer)).then_some(ClientSocket(duplicate))
    }

    /// The connection from this peer, wherever it is, and its number. Looks at the numbers up to
    /// `likely`, and beyond for as long as there are descriptors: to list them all costs twice that, and
    /// many a client that is looked for has gone.
    pub fn find(peer: SocketAddr, local_port: u16, likely: RawFd) -> Option<(RawFd, ClientSocket)> {
        let mut block = 0..likely + BEYOND_LIKELY;
        while block.clone().any(is_open) {
            let mut found = block.clone().filter(|fd| is_at(*fd, peer, local_port));
            if let Some(found) = found.find_map(|fd| Some((fd, Self::at(fd, peer, local_port)?))) {
                return Some(found);
            }
            block = block.end..block.end + BEYOND_LIKELY;
        }
        None
    }

    /// The kernel's number of this very connection; another one from the same peer has another.
    pub fn cookie(&self) -> u64 {
        socket2::SockRef::from(&self.0).cookie().unwrap_or(0)
    }

    /// Ends the connection in order (FIN); what was written still arrives.
    pub fn shutdown(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        // An error means that it has ended already.
        let _ = rustix::net::shutdown(&self.0, how);
    }

    /// Ends the connection with a reset and throws away what has come in unread.
    pub fn reset(&self) {
        let _ = rustix::net::connect_unspec(&self.0);
    }

    /// Whether the client has closed its side or is gone. Asks once, waits for nothing.
    pub fn has_ended(&self) -> bool {
        let mut byte = [0; 1];
        match rustix::net::recv(&self.0, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((0, _)) => true,
            Ok(_) => false,
            Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
        }
    }

    /// Writes what the socket takes at once.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// Reads and throws away what the client still sends, until it ends or the time is up: a client
    /// that is still sending would lose the answer if the connection were closed under it
    /// (RFC 9112 section 9.6).
    pub fn linger(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut scrap = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut polled = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            if left.is_zero() || !matches!(poll(&mut polled, Some(&timeout)), Ok(1..)) {
                return;
            }
            match rustix::net::recv(&self.0, &mut scrap, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

impl io::Write for ClientSocket {
    /// Waits as long as the socket's own send timeout says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, server, listener.local_addr().unwrap().port())
    }

    #[test]
    fn finds_the_server_s_side_by_the_client_s_address() {
        let (mut client, server, port) = pair();
        let peer = client.local_addr().unwrap();
        client.write_all(b"hello").unwrap();
        server.peek(&mut [0; 8]).unwrap();
        let seen = walk(port, 0).seen;
        assert_eq!(seen.iter().map(|seen| (seen.peer, seen.received_bytes)).collect::<Vec<_>>(), [(peer, 5)]);
        let (_, mut socket) = ClientSocket::find(peer, port, 0).unwrap();
        socket.write_all(b"hi").unwrap();
        socket.shutdown(Shutdown::Both);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hi");
    }

    #[test]
    fn a_client_has_ended_when_it_says_so_not_when_we_stop_to_listen() {
        let (client, server, port) = pair();
        server.shutdown(Shutdown::Read).unwrap();
        assert!(!walk(port, 0).seen[0].ended);
        client.shutdown(Shutdown::Write).unwrap();
        assert!((0..1000).any(|_| {
            std::thread::yield_now();
            walk(port, 0).seen[0].ended
        }));
    }

    #[test]
    fn another_number_or_peer_is_not_taken_for_it() {
        let (client, server, port) = pair();
        let peer = client.local_addr().unwrap();
        assert!(ClientSocket::at(server.as_raw_fd(), peer, port).is_some());
        assert!(ClientSocket::at(client.as_raw_fd(), peer, port).is_none());
        assert!(ClientSocket::at(-1, peer, port).is_none());
        assert!(ClientSocket::find("127.0.0.1:1".parse().unwrap(), port, 0).is_none());
    }

    #[test]
    fn has_ended_sees_the_client_s_fin() {
        let (client, _server, port) = pair();
        let (_, socket) = ClientSocket::find(client.local_addr().unwrap(), port, 0).unwrap();
        assert!(!socket.has_ended());
        drop(client);
        let ended = (0..1000).any(|_| {
            socket.has_ended() || {
                std::thread::yield_now();
                false
            }
        });
        assert!(ended);
    }

    #[test]
    fn reset_is_not_an_orderly_end() {
        let (mut client, _server, port) = pair();
        ClientSocket::find(client.local_addr().unwrap(), port, 0).unwrap().1.reset();
        let error = client.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
