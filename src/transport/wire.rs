//! A connection to a backend: TCP or a Unix socket, with TLS for `https`. All methods take `&self`: one
//! thread uses the connection while another may interrupt its wait when the client is gone.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags};

use crate::tls::ClientSession;
use crate::watch::Interrupt;

/// Shortest time to connect to one of several addresses.
const MIN_CONNECT: Duration = Duration::from_millis(10);
/// Each wait may exceed its limit by this factor, so that a socket's timeout rarely needs to be set again.
const SLACK: f64 = 1.05;
/// The kernel does not accept a timeout of zero.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    peer: Option<IpAddr>,
    tls: Option<ClientSession>,
    read_limit: SocketLimit,
    write_limit: SocketLimit,
}

/// The timeout last set on the socket, in microseconds; 0 for none. It outlives a request, so that a kept
/// connection needs no system call per request.
#[derive(Debug, Default)]
struct SocketLimit(AtomicU64);

impl SocketLimit {
    /// Whether the socket's timeout must be set for this wait.
    fn is_off(&self, wait: Duration) -> bool {
        let (now, wait) = (self.0.load(Relaxed) as f64, wait.as_micros() as f64);
        now < wait || now > wait * SLACK
    }

    fn is_now(&self, wait: Option<Duration>) {
        let micros = wait.map_or(0, |wait| u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
        self.0.store(micros, Relaxed);
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    /// Connects to the first address that answers; `limit` is for all addresses together.
    ///
    /// # Errors
    /// The last address's error, or that there is no address.
    pub fn tcp(addresses: &[SocketAddr], limit: Duration) -> io::Result<Wire> {
        let deadline = Instant::now() + limit;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the backend's name has no address");
        for (index, address) in addresses.iter().enumerate() {
            // An equal share of the remaining time for each remaining address.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = (left / (addresses.len() - index) as u32).max(MIN_CONNECT);
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Wire::of(Socket::Tcp(stream), Some(address.ip())));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to a Unix socket; waits at most `limit` for room in a full backlog.
    ///
    /// # Errors
    /// The operating system's.
    pub fn unix(path: &str, limit: Duration) -> io::Result<Wire> {
        let socket = connect_unix(path, limit).map_err(|error| match error.kind() {
            // Elsewhere, `NotFound` means an unresolved name.
            io::ErrorKind::NotFound => io::Error::other("no such socket file"),
            _ => error,
        })?;
        let wire = Wire::of(Socket::Unix(socket), None);
        wire.set_write_timeout(None)?;
        Ok(wire)
    }

    /// Adds TLS, with a handshake that takes at most `limit`.
    ///
    /// # Errors
    /// The operating system's, or why the backend can't be trusted.
    pub fn with_tls(mut self, tls: &crate::tls::ClientSettings, limit: Duration) -> io::Result<Wire> {
        self.set_write_timeout(Some(limit.max(MIN_WAIT)))?;
        let limit_reads = |left: Duration| self.set_read_timeout(Some(left));
        self.tls = Some(tls.handshake(&self.socket, limit, limit_reads)?);
        Ok(self)
    }

    fn of(socket: Socket, peer: Option<IpAddr>) -> Wire {
        let (read_limit, write_limit) = (SocketLimit::default(), SocketLimit::default());
        Wire { socket, peer, tls: None, read_limit, write_limit }
    }

    /// The backend's address; `None` for a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Limits each read to `wait`, within [`SLACK`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn limit_reads(&self, wait: Duration) -> io::Result<()> {
        let wait = wait.max(MIN_WAIT);
        if self.read_limit.is_off(wait) { self.set_read_timeout(Some(wait)) } else { Ok(()) }
    }

    /// Limits each write to `wait`, within [`SLACK`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn limit_writes(&self, wait: Duration) -> io::Result<()> {
        let wait = wait.max(MIN_WAIT);
        if self.write_limit.is_off(wait) { self.set_write_timeout(Some(wait)) } else { Ok(()) }
    }

    /// Limits each read to `wait`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_read_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
        self.read_limit.is_now(wait);
        match &self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(wait),
            Socket::Unix(stream) => stream.set_read_timeout(wait),
        }
    }

    fn set_write_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
        self.write_limit.is_now(wait);
        match &self.socket {
            Socket::Tcp(stream) => stream.set_write_timeout(wait),
            Socket::Unix(stream) => stream.set_write_timeout(wait),
        }
    }

    /// Enables TCP keep-alive probes, which detect a peer that is gone.
    pub fn keep_alive(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            let _ = socket2::SockRef::from(stream).set_keepalive(true);
        }
    }

    /// Ends our side of the connection.
    pub fn end_sending(&self) {
        if let Some(tls) = &self.tls {
            let _ = tls.close(&self.socket);
        }
        self.shutdown(Shutdown::Write);
    }

    fn shutdown(&self, how: Shutdown) {
        // An error means that the connection has ended already.
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(how),
            Socket::Unix(stream) => stream.shutdown(how),
        };
    }

    /// Whether an idle connection is open and has nothing to read. One system call. Data that a backend sends
    /// unasked (a 408 before it closes, say) makes the connection unfit; TLS's own messages do not.
    pub fn is_silent(&self) -> bool {
        match &self.tls {
            None => {
                let mut byte = [0; 1];
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                rustix::net::recv(&self.socket, &mut byte, flags) == Err(rustix::io::Errno::AGAIN)
            }
            Some(tls) => tls.is_silent(&DontWait(&self.socket)),
        }
    }

    /// As [`Read::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.read(&self.socket, buf),
            None => (&self.socket).read(buf),
        }
    }

    /// As [`Write::write_all`].
    ///
    /// # Errors
    /// As there.
    pub fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.tls {
            Some(tls) => tls.write_all(&self.socket, bytes),
            None => (&self.socket).write_all(bytes),
        }
    }
}

impl Wire {
    /// Like [`Read::read`], but `WouldBlock` if nothing has arrived.
    ///
    /// # Errors
    /// As there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.read(&DontWait(&self.socket), buf),
            None => (&DontWait(&self.socket)).read(buf),
        }
    }

    /// Accepts some of these bytes and sends what the socket takes at once; `WouldBlock` if it takes nothing.
    ///
    /// # Errors
    /// As [`Write::write`].
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.write(&DontWait(&self.socket), bytes),
            None if bytes.is_empty() => Ok(0),
            None => (&DontWait(&self.socket)).write(bytes),
        }
    }

    /// Whether accepted bytes are still unsent.
    pub fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(ClientSession::has_unsent)
    }
}

/// Connects to a Unix socket; waits at most `limit` for room in a full backlog. Writes keep that limit.
///
/// # Errors
/// The operating system's; `TimedOut` when the time is up.
pub fn connect_unix(path: &str, limit: Duration) -> io::Result<UnixStream> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    // On Linux this bounds the wait for room in the listener's queue, too (socket(7), SO_SNDTIMEO).
    socket.set_write_timeout(Some(limit.max(MIN_WAIT)))?;
    socket.connect(&socket2::SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    Ok(socket.into())
}

/// A socket that never waits, regardless of its timeouts.
struct DontWait<'a>(&'a Socket);

impl Read for &DontWait<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(self.0, buf, RecvFlags::DONTWAIT)?.0)
    }
}

impl Write for &DontWait<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Interrupt for Wire {
    fn interrupt(&self) {
        self.shutdown(Shutdown::Both);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for &Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&mut &*stream).read(buf),
            Socket::Unix(stream) => (&mut &*stream).read(buf),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&mut &*stream).write(bytes),
            Socket::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_address_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let addresses = [closed, listener.local_addr().unwrap()];
        assert!(Wire::tcp(&addresses, Duration::from_secs(5)).is_ok());
        let error = Wire::tcp(&[], Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_unix_socket_whose_queue_is_full_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(1).unwrap();
        let connect = || Wire::unix(path.to_str().unwrap(), Duration::from_millis(50));
        let mut waiting = Vec::new();
        let error = loop {
            match connect() {
                Ok(wire) => waiting.push(wire),
                Err(error) => break error,
            }
        };
        assert!((1..10).contains(&waiting.len()));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
