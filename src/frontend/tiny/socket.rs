//! Access to a client's socket, which tiny_http hides. The socket is found among the process's descriptors by
//! its peer's address, and duplicated, so that the number can't come to mean another one.
//!
//! This is the only module that may use `unsafe`. Why [`borrow`] is sound: the number may be closed, or
//! belong to another descriptor by now, but the system calls made on it (peer address, local address, unread
//! bytes, duplicate) only query; they change nothing and fail cleanly if it is not a socket. Everything with
//! an effect (writing, closing) uses a [`ClientSocket`], a duplicate whose peer is checked after duplicating.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};

use crate::readiness::{self, Interest};

/// A duplicate of a client connection's descriptor; closing it leaves tiny_http's alone.
#[derive(Debug)]
pub(super) struct ClientSocket(OwnedFd);

/// For queries only; see the module's argument.
fn borrow(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: `fd` is not -1, and is only used for system calls that query and fail cleanly on a number that
    // is closed or reused meanwhile.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Peer and local address of the connection with this descriptor, if it is one.
fn ends(fd: BorrowedFd<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let peer = SocketAddr::try_from(rustix::net::getpeername(fd).ok()??).ok()?;
    let local = SocketAddr::try_from(rustix::net::getsockname(fd).ok()?).ok()?;
    Some((peer, local))
}

/// Peers of this port's connections that have unread bytes.
pub(super) fn unread(local_port: u16) -> HashSet<SocketAddr> {
    let fds = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let fds = fds.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(borrow);
    let has_unread = |fd: &BorrowedFd<'_>| rustix::io::ioctl_fionread(fd).is_ok_and(|bytes| bytes > 0);
    let of_port =
        fds.filter_map(|fd| Some((ends(fd)?, fd))).filter(|((_, local), _)| local.port() == local_port);
    of_port.filter(|(_, fd)| has_unread(fd)).map(|((peer, _), _)| peer).collect()
}

impl ClientSocket {
    /// The connection from this peer to this port; `None` if there is none or several: a peer may connect
    /// from one port to two of our addresses, and nothing distinguishes those.
    pub fn find(peer: SocketAddr, local_port: u16) -> Option<ClientSocket> {
        let mut found: Option<(SocketAddr, ClientSocket)> = None;
        for entry in fs::read_dir("/proc/self/fd").ok()?.flatten() {
            let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(borrow)
            else {
                continue;
            };
            let is_it = |ends: &(SocketAddr, SocketAddr)| ends.0 == peer && ends.1.port() == local_port;
            if !ends(fd).is_some_and(|ends| is_it(&ends)) {
                continue;
            }
            let Ok(duplicate) = rustix::io::fcntl_dupfd_cloexec(fd, 3) else { continue };
            match (ends(duplicate.as_fd()).filter(is_it), &found) {
                (Some((_, local)), None) => found = Some((local, ClientSocket(duplicate))),
                // tiny_http holds each connection twice.
                (Some((_, local)), Some((known, _))) if local != *known => return None,
                _ => {}
            }
        }
        found.map(|(_, socket)| socket)
    }

    /// The kernel's cookie of this connection, unique among connections.
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
        // An error means that the connection has ended already.
        let _ = rustix::net::shutdown(&self.0, how);
    }

    /// Resets the connection and discards unread input.
    pub fn reset(&self) {
        let _ = rustix::net::connect_unspec(&self.0);
    }

    /// Whether the client has closed its side or is gone. Does not wait.
    pub fn has_ended(&self) -> bool {
        let mut byte = [0; 1];
        match rustix::net::recv(&self.0, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((0, _)) => true,
            Ok(_) => false,
            Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
        }
    }

    /// Makes the socket non-blocking, also for tiny_http's descriptors of it.
    pub fn never_wait(&self) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.0, true)?)
    }

    /// Writes as much as the socket takes without waiting.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    /// Writes all of it.
    pub fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_now(bytes) {
                Ok(amount) => bytes = &bytes[amount..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    readiness::wait([(self.0.as_fd(), Interest::WRITE)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads and discards what the client still sends, until it ends or the time is up: closing while the
    /// client is sending could lose the answer (RFC 9112 section 9.6).
    pub fn linger(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut scrap = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let ready = readiness::wait([(self.0.as_fd(), Interest::READ)], Some(left));
            if left.is_zero() || !matches!(ready, Ok([ready]) if ready.read) {
                return;
            }
            match rustix::net::recv(&self.0, &mut scrap, RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for ClientSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
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
        let (mut client, _server, port) = pair();
        let socket = ClientSocket::find(client.local_addr().unwrap(), port).unwrap();
        socket.write_all(b"hi").unwrap();
        socket.shutdown(Shutdown::Both);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hi");
        assert!(ClientSocket::find("127.0.0.1:1".parse().unwrap(), port).is_none());
    }

    #[test]
    fn of_two_that_can_not_be_told_apart_it_is_neither() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = |address: &str, from: Option<SocketAddr>| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            socket.bind(&from.unwrap_or(any).into()).unwrap();
            let to: SocketAddr = format!("{address}:{port}").parse().unwrap();
            socket.connect(&to.into()).unwrap();
            TcpStream::from(socket)
        };
        let one = connect("127.0.0.1", None);
        let peer = one.local_addr().unwrap();
        let _accepted = listener.accept().unwrap();
        assert!(ClientSocket::find(peer, port).is_some());
        let _other = connect("127.0.0.2", Some(peer));
        let _accepted_too = listener.accept().unwrap();
        assert!(ClientSocket::find(peer, port).is_none());
    }

    #[test]
    fn has_ended_sees_the_client_s_fin() {
        let (client, _server, port) = pair();
        let socket = ClientSocket::find(client.local_addr().unwrap(), port).unwrap();
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
        ClientSocket::find(client.local_addr().unwrap(), port).unwrap().reset();
        let error = client.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
