//! The client side of TLS, for connections to backends, on a blocking or a non-blocking socket.
//!
//! rustls is a state machine behind one lock: one thread at a time uses a connection. To interrupt it,
//! another thread shuts down the socket and does not call this module.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::roots;
use super::server_name::server_name;
use crate::config::BackendUrl;

/// Size of one read of ciphertext; a TLS record is at most slightly more than 16 KiB.
const READ_BYTES: usize = 16 << 10;
/// Plaintext per write: one TLS record.
const WRITE_BYTES: usize = 16 << 10;

/// How to speak TLS with one backend.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl ClientSettings {
    /// The current settings for this backend, verified against the system's roots or those in `ca`. To be
    /// called for each connection, since a reload may renew the roots. `Err` if the backend is not `https`.
    /// Takes a lock.
    ///
    /// # Errors
    /// What is wrong with the roots or the name, for people.
    pub fn of(url: &BackendUrl, ca: Option<&str>) -> Result<ClientSettings, String> {
        let name = server_name(url)?;
        Ok(ClientSettings { config: roots::in_force(ca)?, name })
    }

    /// Does the handshake within `limit`. Before each read it calls `limit_reads` with the remaining time,
    /// which is never zero: a peer that sends byte by byte must not restart the limit.
    ///
    /// # Errors
    /// The socket's, or why the backend's certificate can't be trusted.
    pub fn handshake<S>(
        &self,
        mut socket: &S,
        limit: Duration,
        limit_reads: impl Fn(Duration) -> io::Result<()>,
    ) -> io::Result<ClientSession>
    where
        for<'s> &'s S: Read + Write,
    {
        let deadline = Instant::now() + limit;
        let config = Arc::clone(&self.config);
        let mut tls = ClientConnection::new(config, self.name.clone()).map_err(io::Error::other)?;
        loop {
            Write::write_all(&mut socket, &drain(&mut tls)?)?;
            if !tls.is_handshaking() {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(timed_out());
            }
            limit_reads(left)?;
            if tls.read_tls(&mut socket).map_err(in_time)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(error) = tls.process_new_packets() {
                // Sends the alert that says why; an untrusted peer need not receive it.
                let _ = drain(&mut tls).and_then(|alert| Write::write_all(&mut socket, &alert));
                return Err(io::Error::other(format!("TLS: {error}")));
            }
        }
        Ok(ClientSession(Mutex::new(State { tls, incoming: Vec::new(), outgoing: Vec::new() })))
    }
}

/// A blocking socket reports a timeout as `WouldBlock`.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => timed_out(),
        _ => error,
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "timed out in the TLS handshake")
}

/// An open session, for one thread at a time. Whether a call waits depends on the socket passed to it.
#[derive(Debug)]
pub struct ClientSession(Mutex<State>);

#[derive(Debug)]
struct State {
    tls: ClientConnection,
    /// Received but not decrypted.
    incoming: Vec<u8>,
    /// Encrypted but not sent.
    outgoing: Vec<u8>,
}

impl ClientSession {
    /// Reads plaintext; 0 after the peer's close_notify.
    ///
    /// # Errors
    /// The socket's, or that the peer broke off the session.
    pub fn read<S>(&self, mut socket: &S, buf: &mut [u8]) -> io::Result<usize>
    where
        for<'s> &'s S: Read + Write,
    {
        let mut state = self.0.lock();
        loop {
            match state.decrypted(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            state.send(socket)?;
            state.incoming.resize(READ_BYTES, 0);
            let read = Read::read(&mut socket, &mut state.incoming);
            state.incoming.truncate(*read.as_ref().unwrap_or(&0));
            if read? == 0 {
                // An end without close_notify is an attack or an accident (RFC 9112 section 9.8).
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Encrypts some of these bytes, at most one record, and sends what the socket takes. `WouldBlock` if
    /// earlier ciphertext is still unsent.
    ///
    /// # Errors
    /// The socket's, or that the session has ended.
    pub fn write<S>(&self, socket: &S, bytes: &[u8]) -> io::Result<usize>
    where
        for<'s> &'s S: Read + Write,
    {
        let mut state = self.0.lock();
        state.send(socket)?;
        let piece = &bytes[..bytes.len().min(WRITE_BYTES)];
        state.tls.writer().write_all(piece)?;
        match state.send(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(piece.len()),
            result => result.map(|()| piece.len()),
        }
    }

    /// Encrypts and sends all of it.
    ///
    /// # Errors
    /// As [`ClientSession::write`].
    pub fn write_all<S>(&self, socket: &S, mut bytes: &[u8]) -> io::Result<()>
    where
        for<'s> &'s S: Read + Write,
    {
        while !bytes.is_empty() {
            let taken = self.write(socket, bytes)?;
            bytes = &bytes[taken..];
        }
        self.0.lock().send(socket)
    }

    /// Whether ciphertext is still unsent.
    pub fn has_unsent(&self) -> bool {
        !self.0.lock().outgoing.is_empty()
    }

    /// Sends close_notify: nothing more will follow.
    ///
    /// # Errors
    /// The socket's.
    pub fn close<S>(&self, socket: &S) -> io::Result<()>
    where
        for<'s> &'s S: Read + Write,
    {
        let mut state = self.0.lock();
        state.tls.send_close_notify();
        state.send(socket)
    }

    /// Whether nothing has arrived except TLS's own messages (mostly session tickets). The socket must not
    /// block.
    pub fn is_silent<S>(&self, socket: &S) -> bool
    where
        for<'s> &'s S: Read + Write,
    {
        matches!(self.read(socket, &mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl State {
    /// Plaintext of what has been received; `WouldBlock` if that is not enough.
    fn decrypted(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.incoming[..];
        let result = loop {
            match self.tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !rest.is_empty() => {}
                result => break result,
            }
            self.tls.read_tls(&mut rest)?;
            self.tls.process_new_packets().map_err(|error| io::Error::other(format!("TLS: {error}")))?;
        };
        let taken = self.incoming.len() - rest.len();
        self.incoming.drain(..taken);
        result
    }

    /// Sends ciphertext, including TLS's own messages: alerts and key updates.
    fn send<S>(&mut self, mut socket: &S) -> io::Result<()>
    where
        for<'s> &'s S: Read + Write,
    {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.outgoing)?;
        }
        while !self.outgoing.is_empty() {
            let sent = Write::write(&mut socket, &self.outgoing)?;
            self.outgoing.drain(..sent);
        }
        Ok(())
    }
}

fn drain(tls: &mut ClientConnection) -> io::Result<Vec<u8>> {
    let mut ciphertext = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut ciphertext)?;
    }
    Ok(ciphertext)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use rustls::RootCertStore;

    use super::*;

    #[test]
    fn a_handshake_that_trickles_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        thread::spawn(move || {
            // A handshake record of 16 KiB, one byte at a time, would take five minutes.
            let record = [&[0x16, 3, 3, 0x40, 0][..], &[0; 0x4000]].concat();
            record.chunks(1).all(|byte| {
                thread::park_timeout(Duration::from_millis(20));
                peer.write_all(byte).is_ok()
            });
        });
        let roots = RootCertStore::empty();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let settings = ClientSettings { config, name: ServerName::try_from("localhost").unwrap() };
        let begun = Instant::now();
        let limit_reads = |left| stream.set_read_timeout(Some(left));
        let error = settings.handshake(&stream, Duration::from_millis(300), limit_reads).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
