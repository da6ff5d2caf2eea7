//! A load of new TLS 1.3 connections, one for each request. wrk can't be that: it offers the session of its last
//! connection again, and where a server takes it, the handshake is a short one. This one never offers any, and
//! counts an answer after a short handshake as an error.
//!
//! It believes any certificate and checks no signature, so that it costs the machine that it shares with the
//! proxies as little as it can. Prints one line as wrk.lua does. For `bench/run` only.
//!
//! usage: `handshakes ADDRESS CONNECTIONS SECONDS PATH`

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, Stream};

const USAGE: &str = "usage: handshakes ADDRESS CONNECTIONS SECONDS PATH";
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections, seconds, path] = arguments.as_slice() else { return Err(USAGE.into()) };
    let (connections, seconds) = (connections.parse::<usize>()?, seconds.parse::<f64>()?);
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let client = Arc::new(Client {
        config: Arc::new(config),
        address: address.clone(),
        request: format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    });

    let began = Instant::now();
    let end = began + Duration::from_secs_f64(seconds);
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || client.run(end))
        })
        .collect();
    let mut all = Report::default();
    for thread in threads {
        let report = thread.join().map_err(|_| "a client panicked")?;
        all.micros.extend(report.micros);
        all.wrong.iter_mut().zip(report.wrong).for_each(|(sum, wrong)| *sum += wrong);
    }
    let took = began.elapsed().as_micros();
    all.micros.sort_unstable();
    let count = all.micros.len();
    let at = |percent: usize| all.micros.get((count * percent / 100).min(count.saturating_sub(1)));
    let [status, connect, read, write, timeout] = all.wrong;
    println!(
        "{{\"requests\":{count},\"micros\":{took},\"p50\":{},\"p99\":{},\"status\":{status},\
         \"connect\":{connect},\"read\":{read},\"write\":{write},\"timeout\":{timeout}}}",
        at(50).unwrap_or(&0),
        at(99).unwrap_or(&0),
    );
    Ok(())
}

#[derive(Default)]
struct Report {
    micros: Vec<u128>,
    /// In the order of what is printed.
    wrong: [u64; 5],
}

const STATUS: usize = 0;
const CONNECT: usize = 1;
const READ: usize = 2;
const WRITE: usize = 3;
const TIMED_OUT: usize = 4;

struct Client {
    config: Arc<ClientConfig>,
    address: String,
    request: String,
}

impl Client {
    fn run(&self, end: Instant) -> Report {
        let (mut report, mut buffer) = (Report::default(), Vec::new());
        while Instant::now() < end {
            let began = Instant::now();
            match self.one(&mut buffer) {
                Ok(()) => report.micros.push(began.elapsed().as_micros()),
                Err((_, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)) => report.wrong[TIMED_OUT] += 1,
                Err((kind, _)) => report.wrong[kind] += 1,
            }
        }
        report
    }

    /// One connection with one request; what went wrong with it, and how.
    fn one(&self, answer: &mut Vec<u8>) -> Result<(), (usize, io::ErrorKind)> {
        let wrong = |kind| move |error: io::Error| (kind, error.kind());
        let mut socket = TcpStream::connect(&self.address).map_err(wrong(CONNECT))?;
        socket.set_nodelay(true).map_err(wrong(CONNECT))?;
        socket.set_read_timeout(Some(TIMEOUT)).map_err(wrong(CONNECT))?;
        let name = ServerName::try_from("localhost").map_err(|_| (CONNECT, io::ErrorKind::InvalidInput))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| (CONNECT, io::Error::other(error).kind()))?;
        let mut stream = Stream::new(&mut tls, &mut socket);
        stream.write_all(self.request.as_bytes()).map_err(wrong(WRITE))?;
        answer.clear();
        match stream.read_to_end(answer) {
            // Ended without saying goodbye first, as some servers do.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(wrong(READ)(error)),
            _ => {}
        }
        let is_whole = tls.handshake_kind() == Some(HandshakeKind::Full);
        let is_right = answer.starts_with(b"HTTP/1.1 200 ") && !answer.ends_with(b"\r\n\r\n");
        if is_whole && is_right { Ok(()) } else { Err((STATUS, io::ErrorKind::InvalidData)) }
    }
}

/// Believes any server.
#[derive(Debug)]
struct Believer;

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
