//! The server side of TLS, for connections of clients: converts bytes and has no socket; the socket's owner
//! decides when to read and write.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion, version};

use super::by_name::{self, ByName};
use super::certificate::{self, Certificate};
use super::pairs;
use crate::config::{TlsConfig, TlsVersion};

/// Plaintext per write: one TLS record.
const PIECE_BYTES: usize = 16 << 10;

/// The certificates and all other TLS settings of a listener.
#[derive(Clone)]
pub struct ServerSettings {
    config: Arc<ServerConfig>,
    certificates: Arc<[Certificate]>,
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSettings")
    }
}

impl ServerSettings {
    /// Reads the certificates and keys. The first certificate is for clients that name no known host.
    ///
    /// # Errors
    /// Each field whose file is wrong, and how, for people.
    pub fn load(tls: &TlsConfig) -> Result<ServerSettings, Vec<String>> {
        let certificates = &tls.certificates[..];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let keys = pairs::read(certificates, &provider)?;
        let found = certificates.iter().zip(&keys).map(|(files, key)| {
            let own = key.cert.first();
            Certificate {
                file: files.certificate.clone(),
                names: own.map(by_name::names_in).unwrap_or_default(),
                expires: own.and_then(|own| certificate::expires(own)),
            }
        });
        let found = found.collect();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(tls.min_version))
            .map_err(|error| vec![format!("tls: {error}")])?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(ByName::new(keys)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(ServerSettings { config: Arc::new(config), certificates: found })
    }

    /// Names and expiry of the certificates, in the configuration's order.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// A session for one connection.
    ///
    /// # Errors
    /// The library's, for settings that can't work.
    pub fn session(&self) -> io::Result<ServerSession> {
        let mut tls = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        // Ciphertext is taken out after each write, so the buffer needs no limit.
        tls.set_buffer_limit(None);
        Ok(ServerSession(tls))
    }
}

/// The supported versions from `lowest` on.
fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match lowest {
        TlsVersion::Tls12 => &ALL,
        TlsVersion::Tls13 => &ALL[..1],
    }
}

/// The TLS session of one connection.
#[derive(Debug)]
pub struct ServerSession(ServerConnection);

impl ServerSession {
    /// Decrypts received bytes. Afterwards [`ServerSession::drain`] may have something to send, even after an
    /// error. Returns whether the client has sent close_notify.
    ///
    /// # Errors
    /// What the client did wrong; the session has ended.
    pub fn receive(&mut self, mut ciphertext: &[u8], plaintext: &mut Vec<u8>) -> Result<bool, String> {
        let mut has_closed = false;
        while !ciphertext.is_empty() {
            let taken = self.0.read_tls(&mut ciphertext).map_err(|error| error.to_string())?;
            let state = self.0.process_new_packets().map_err(|error| error.to_string())?;
            has_closed |= state.peer_has_closed();
            let start = plaintext.len();
            plaintext.resize(start + state.plaintext_bytes_to_read(), 0);
            if self.0.reader().read_exact(&mut plaintext[start..]).is_err() {
                plaintext.truncate(start);
            }
            if taken == 0 {
                break;
            }
        }
        Ok(has_closed)
    }

    /// Encrypts.
    ///
    /// # Errors
    /// The session has ended.
    pub fn send(&mut self, plaintext: &[u8], ciphertext: &mut Vec<u8>) -> io::Result<()> {
        for piece in plaintext.chunks(PIECE_BYTES) {
            self.0.writer().write_all(piece)?;
            self.drain(ciphertext)?;
        }
        Ok(())
    }

    /// Appends TLS's own messages: handshakes and alerts.
    ///
    /// # Errors
    /// The library's.
    pub fn drain(&mut self, ciphertext: &mut Vec<u8>) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(ciphertext)?;
        }
        Ok(())
    }

    /// The negotiated protocol version, once known.
    pub fn version(&self) -> Option<&'static str> {
        match self.0.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            rustls::ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// Whether the handshake is still in progress.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Ends our side with close_notify.
    pub fn close(&mut self) {
        self.0.send_close_notify();
    }
}
