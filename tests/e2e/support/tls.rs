//! Certificates of an authority of the test's own, and a client that trusts it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::patience;

/// Issues certificates into a folder.
pub struct Authority {
    folder: PathBuf,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, whose own certificate is `ca.pem` in this folder.
    pub fn new(folder: &Path) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        let der = certificate.der().clone();
        Authority { folder: folder.to_owned(), certificate: der, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate's file.
    pub fn file(&self) -> String {
        self.folder.join("ca.pem").display().to_string()
    }

    /// Issues a certificate for these names, to be found under this name; its two files.
    pub fn issue(&self, file: &str, names: &[&str]) -> (String, String) {
        self.issue_until(file, names, (4096, 1, 1))
    }

    /// The same for one that is valid until this day.
    pub fn issue_until(
        &self,
        file: &str,
        names: &[&str],
        (year, month, day): (i32, u8, u8),
    ) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |ending: &str| self.folder.join(format!("{file}.{ending}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        (path("pem").display().to_string(), path("key").display().to_string())
    }
}

impl Authority {
    /// A TLS listener on a free port of loopback, for `localhost`.
    pub fn listener(&self) -> Value {
        let (certificate, private_key) = self.issue("localhost", &["localhost"]);
        let certificates = [json!({ "certificate": certificate, "private_key": private_key })];
        json!({ "listen": "127.0.0.1:0", "certificates": certificates })
    }
}

/// A connection by TLS to a host of this name.
pub struct TlsClient(StreamOwned<ClientConnection, Box<dyn Stream>>);

/// What TLS is spoken over.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl TlsClient {
    /// Shakes hands; trusts this authority and nobody else.
    pub fn connect(address: SocketAddr, name: &str, authority: &Authority) -> std::io::Result<TlsClient> {
        TlsClient::speaking(address, name, authority, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    /// The same with these versions only.
    pub fn speaking(
        address: SocketAddr,
        name: &str,
        authority: &Authority,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<TlsClient> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(patience()))?;
        TlsClient::over(stream, name, authority, versions)
    }

    /// The same over a connection that is open already, and whose reads have a limit.
    pub fn over(
        stream: impl Stream + 'static,
        name: &str,
        authority: &Authority,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<TlsClient> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tls = StreamOwned::new(connection, Box::new(stream) as Box<dyn Stream>);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(TlsClient(tls))
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// A GET on this connection; the whole answer, head and body, which must have a length.
    pub fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        self.read_answer()
    }

    /// An answer with a length.
    pub fn read_answer(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                });
                if body.len() >= length.expect("a length") {
                    return text.into_owned();
                }
            }
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece).expect("more of the answer");
            assert!(read > 0, "the answer ended early: {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&piece[..read]);
        }
    }

    /// What the connection itself is.
    pub fn session(&self) -> &ClientConnection {
        &self.0.conn
    }

    /// The reading and writing side.
    pub fn stream(&mut self) -> &mut (impl Read + Write + use<>) {
        &mut self.0
    }
}
