//! A connection to a probed backend: all waits share one deadline, and the peer's behaviour is visible.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::config::BackendConfig;
use crate::tls::{ClientSession, ClientSettings};
use crate::transport::connect_unix;

/// Shortest timeout of a socket; the system takes zero for no timeout.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// See the module.
pub struct DeadlineStream {
    socket: Socket,
    deadline: Instant,
}

enum Socket {
    Tcp(TcpStream),
    Tls(TcpStream, Box<ClientSession>),
    Unix(UnixStream),
}

/// An open connection, its address, and how long opening took.
pub struct Opened {
    /// The connection.
    pub stream: DeadlineStream,
    /// The address that answered; none for a Unix socket.
    pub address: Option<SocketAddr>,
    /// Including the TLS handshake for `https`.
    pub took: Duration,
}

/// Connects to the first of these addresses that accepts within the limit, or to the Unix socket.
///
/// # Errors
/// The last error.
pub fn open(backend: &BackendConfig, addresses: &[SocketAddr], limit: Duration) -> io::Result<Opened> {
    let began = Instant::now();
    let deadline = began + limit;
    if let crate::config::BackendUrl::Unix { path } = &backend.url {
        let socket = Socket::Unix(connect_unix(path, limit)?);
        return Ok(Opened {
            stream: DeadlineStream { socket, deadline },
            address: None,
            took: began.elapsed(),
        });
    }
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (index, address) in addresses.iter().enumerate() {
        let share = left_until(deadline) / (addresses.len() - index) as u32;
        match TcpStream::connect_timeout(address, share.max(MIN_WAIT)) {
            Ok(stream) => {
                let socket = secured(backend, stream, left_until(deadline))?;
                let stream = DeadlineStream { socket, deadline };
                return Ok(Opened { stream, address: Some(*address), took: began.elapsed() });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
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

/// The time left for a wait.
///
/// # Errors
/// The deadline has passed.
fn wait_until(deadline: Instant) -> io::Result<Option<Duration>> {
    match Instant::now() < deadline {
        true => Ok(Some(left_until(deadline))),
        false => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A socket with its deadline; one read of TLS may need several reads of the socket.
struct Until<'w>(&'w TcpStream, Instant);

impl Read for &Until<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (mut stream, deadline) = (self.0, self.1);
        stream.set_read_timeout(wait_until(deadline)?)?;
        stream.read(buf)
    }
}

impl Write for &Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut stream, deadline) = (self.0, self.1);
        stream.set_write_timeout(wait_until(deadline)?)?;
        stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DeadlineStream {
    /// Sets the deadline for everything that follows.
    pub fn allow(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(stream) => (&Until(stream, self.deadline)).read(buf),
            Socket::Tls(stream, session) => session.read(&Until(stream, self.deadline), buf),
            Socket::Unix(stream) => {
                stream.set_read_timeout(wait_until(self.deadline)?)?;
                stream.read(buf)
            }
        }
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(stream) => (&Until(stream, self.deadline)).write(bytes),
            Socket::Tls(stream, session) => {
                session.write_all(&Until(stream, self.deadline), bytes).map(|()| bytes.len())
            }
            Socket::Unix(stream) => {
                stream.set_write_timeout(wait_until(self.deadline)?)?;
                stream.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, TlsConfig, TlsVersion, parse};

    /// Sends half a record of application data, one byte at a time; the whole takes five minutes.
    #[cfg(feature = "tls")]
    fn trickle(mut socket: TcpStream) {
        let record = [&[0x17, 3, 3, 0x40, 0][..], &[0; 0x4000]].concat();
        let _ = record.chunks(1).all(|byte| {
            std::thread::park_timeout(Duration::from_millis(20));
            socket.write_all(byte).is_ok()
        });
    }

    /// A backend that completes the handshake and then trickles; returns its port and its certificate's file.
    #[cfg(feature = "tls")]
    fn trickles_by_tls(folder: &std::path::Path) -> (u16, String) {
        let [certificate, private_key] =
            ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, own.cert.pem()).unwrap();
        std::fs::write(&private_key, own.signing_key.serialize_pem()).unwrap();
        let pair = crate::config::CertificateConfig { certificate: certificate.clone(), private_key };
        let tls = TlsConfig {
            listen: Vec::new(),
            certificates: vec![pair],
            min_version: TlsVersion::Tls12,
            redirect_http: false,
            proxy_protocol: false,
        };
        let settings = crate::tls::ServerSettings::load(&tls).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut session = settings.session().unwrap();
            while session.is_handshaking() {
                let (mut bytes, mut answer) = ([0; 4096], Vec::new());
                let length = socket.read(&mut bytes).unwrap();
                session.receive(&bytes[..length], &mut Vec::new()).unwrap();
                session.drain(&mut answer).unwrap();
                socket.write_all(&answer).unwrap();
            }
            trickle(socket);
        });
        (port, certificate)
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_record_of_tls_that_trickles_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (port, ca) = trickles_by_tls(folder.path());
        let text = format!(r#"{{ "backends": [ {{ "url": "https://localhost:{port}", "ca": "{ca}" }} ] }}"#);
        let config = parse(&text, &Overrides::default()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let limit = Duration::from_secs(20);
        let mut stream = super::open(&config.default_pool.backends[0], &[address], limit).unwrap().stream;
        stream.allow(Duration::from_millis(300));
        let begun = Instant::now();
        let error = stream.read(&mut [0; 16]).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_unix_socket_whose_queue_is_full_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(1).unwrap();
        let text = format!(r#"{{ "backends": [ {{ "url": "unix:{}" }} ] }}"#, path.display());
        let config = parse(&text, &Overrides::default()).unwrap();
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
