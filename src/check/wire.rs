//! A connection to a backend that is watched: every wait ends at one deadline, and what the peer does is
//! seen as it is.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::config::BackendConfig;
use crate::tls::{ClientSession, ClientSettings};

/// Shortest time that a wait gets; the system takes zero for "for ever".
const MIN_WAIT: Duration = Duration::from_millis(1);

/// See the module.
pub struct Wire {
    socket: Socket,
    deadline: Instant,
}

enum Socket {
    Tcp(TcpStream),
    Tls(TcpStream, Box<ClientSession>),
    Unix(UnixStream),
}

/// An open connection, where it leads, and how long it took.
pub struct Opened {
    /// The connection.
    pub wire: Wire,
    /// The address that answered; none for a Unix socket.
    pub address: Option<SocketAddr>,
    /// With the handshake, for `https`.
    pub took: Duration,
}

/// Connects to the first of these addresses that answers within the limit, or to the Unix socket.
///
/// # Errors
/// The last one's.
pub fn open(backend: &BackendConfig, addresses: &[SocketAddr], limit: Duration) -> io::Result<Opened> {
    let began = Instant::now();
    let deadline = began + limit;
    if let crate::config::BackendUrl::Unix { path } = &backend.url {
        let socket = Socket::Unix(connect_unix(path, limit)?);
        return Ok(Opened { wire: Wire { socket, deadline }, address: None, took: began.elapsed() });
    }
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (index, address) in addresses.iter().enumerate() {
        let share = left_until(deadline) / (addresses.len() - index) as u32;
        match TcpStream::connect_timeout(address, share.max(MIN_WAIT)) {
            Ok(stream) => {
                let socket = secured(backend, stream, left_until(deadline))?;
                let wire = Wire { socket, deadline };
                return Ok(Opened { wire, address: Some(*address), took: began.elapsed() });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Waits at most so long where whoever listens there accepts too slowly.
fn connect_unix(path: &str, limit: Duration) -> io::Result<UnixStream> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    // On Linux this bounds the wait for room in the listener's queue, too (socket(7), SO_SNDTIMEO).
    socket.set_write_timeout(Some(limit.max(MIN_WAIT)))?;
    socket.connect(&socket2::SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    Ok(socket.into())
}

fn secured(backend: &BackendConfig, stream: TcpStream, limit: Duration) -> io::Result<Socket> {
    stream.set_nodelay(true)?;
    if !matches!(backend.url, crate::config::BackendUrl::Https { .. }) {
        return Ok(Socket::Tcp(stream));
    }
    let tls = ClientSettings::of(&backend.url, backend.ca.as_deref()).map_err(io::Error::other)?;
    stream.set_write_timeout(Some(limit))?;
    let limit_reads = |left: Duration| stream.set_read_timeout(Some(left));
    let session = tls.handshake(&stream, limit, limit_reads)?;
    Ok(Socket::Tls(stream, Box::new(session)))
}

fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(MIN_WAIT)
}

impl Wire {
    /// From now on everything together may take so long.
    pub fn allow(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
    }

    /// # Errors
    /// The deadline has passed.
    fn wait_no_longer(&self) -> io::Result<()> {
        if Instant::now() >= self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Some(left_until(self.deadline));
        match &self.socket {
            Socket::Tcp(stream) | Socket::Tls(stream, _) => {
                stream.set_read_timeout(left).and_then(|()| stream.set_write_timeout(left))
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(left).and_then(|()| stream.set_write_timeout(left))
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait_no_longer()?;
        match &mut self.socket {
            Socket::Tcp(stream) => stream.read(buf),
            Socket::Tls(stream, session) => session.read(stream, buf),
            Socket::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait_no_longer()?;
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Tls(stream, session) => session.write_all(stream, bytes).map(|()| bytes.len()),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_socket_whose_queue_is_full_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(1).unwrap();
        let text = format!(r#"{{ "backends": [ {{ "url": "unix:{}" }} ] }}"#, path.display());
        let config = crate::config::parse(&text, &crate::config::Overrides::default()).unwrap();
        let open = || super::open(&config.default_pool.backends[0], &[], Duration::from_millis(50));
        let mut waiting = Vec::new();
        let error = loop {
            match open() {
                Ok(opened) => waiting.push(opened),
                Err(error) => break error,
            }
        };
        assert!((1..10).contains(&waiting.len()));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
