//! Probes one backend: its name, its port, its health check, and how long it keeps idle connections.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::deadline_stream::{self, DeadlineStream, Opened};
use crate::config::{BackendConfig, BackendUrl, HealthCheckConfig, HealthCheckKind};
use crate::http_client::{Whole, read_answer};
use crate::transport::look_up;

/// A backend that closes a connection within this time does not keep connections at all.
const AT_ONCE: Duration = Duration::from_millis(50);

/// The findings; after a step that fails, the rest is missing.
#[derive(Debug)]
pub struct Findings {
    /// The addresses of the backend's name; empty for a Unix socket.
    pub addresses: Result<Vec<SocketAddr>, String>,
    /// The address to which a connection was opened, and how long that took.
    pub connected: Option<Result<(Option<SocketAddr>, Duration), String>>,
    /// The health check's status and duration, or why it failed.
    pub health: Option<Result<(Option<u16>, Duration), String>>,
    /// What the backend does with an idle connection.
    pub idle: Option<Idle>,
    /// The value of `Keep-Alive` in the backend's answer.
    pub announced: Option<String>,
}

/// What a backend does with a connection after an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Idle {
    /// Closes it at once, as the answer announces.
    ClosesAtOnce,
    /// Closes it at once, although the answer does not announce it.
    ClosesUnsaid,
    /// Closes it after this time.
    ClosesAfter(Duration),
    /// Still keeps it after this time, when watching ended.
    Keeps(Duration),
    /// Could not be determined, for this reason.
    Unknown(String),
}

impl Findings {
    /// The findings if nothing could be probed.
    pub fn unprobed(reason: String) -> Findings {
        Findings { addresses: Err(reason), connected: None, health: None, idle: None, announced: None }
    }

    /// Whether the health check passes.
    pub fn answers(&self) -> bool {
        matches!(self.health, Some(Ok(_)))
    }
}

/// Probes one backend at this address or at those of its name; watches an idle connection for at most
/// `watched`.
pub fn probe_one(
    backend: &BackendConfig,
    address: Option<SocketAddr>,
    check: &HealthCheckConfig,
    (connect, watched): (Duration, Duration),
) -> Findings {
    // Empty for a Unix socket.
    let addresses = match address.map_or_else(|| look_up(&backend.url), |address| Ok(vec![address])) {
        Ok(addresses) => addresses,
        Err(error) => return Findings::unprobed(told(&error)),
    };
    let opened = deadline_stream::open(backend, &addresses, connect);
    let connected = opened.as_ref().map(|it| (it.address, it.took)).map_err(told);
    let health = Some(health(backend, check, &addresses));
    let idle = opened.ok().map(|opened| idle(backend, check, opened, watched));
    let (idle, announced) = idle.map_or((None, None), |(idle, announced)| (Some(idle), announced));
    Findings { addresses: Ok(addresses), connected: Some(connected), health, idle, announced }
}

/// Runs the health check like the health checker, on a connection of its own.
fn health(
    backend: &BackendConfig,
    check: &HealthCheckConfig,
    addresses: &[SocketAddr],
) -> Result<(Option<u16>, Duration), String> {
    let began = Instant::now();
    let mut addresses = addresses.to_vec();
    addresses.iter_mut().for_each(|it| it.set_port(check.port.unwrap_or(it.port())));
    let opened = deadline_stream::open(backend, &addresses, check.timeout).map_err(|error| told(&error))?;
    match check.kind {
        HealthCheckKind::Tcp => return Ok((None, began.elapsed())),
        // Where nobody is asked, the answer still tells what a health check would see.
        HealthCheckKind::Http | HealthCheckKind::None => {}
    }
    let mut reader = BufReader::new(opened.stream);
    let answer = ask(&mut reader, backend, check, "close").map_err(|error| told(&error))?;
    let took = began.elapsed();
    if !check.expect_status.contain(answer.status) {
        return Err(format!("{}, and {} is expected", answer.status, check.expect_status));
    }
    match &check.expect_body {
        Some(text) if !contains(&answer.body, text.as_bytes()) => {
            Err(format!("{}, and its body does not have {text:?}", answer.status))
        }
        _ => Ok((Some(answer.status), took)),
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|part| part == text)
}

fn idle(
    backend: &BackendConfig,
    check: &HealthCheckConfig,
    opened: Opened,
    watched: Duration,
) -> (Idle, Option<String>) {
    let mut stream = opened.stream;
    stream.allow(check.timeout);
    let mut reader = BufReader::new(stream);
    match ask(&mut reader, backend, check, "keep-alive") {
        Err(error) => (Idle::Unknown(told(&error)), None),
        Ok(answer) if !answer.keeps => (Idle::ClosesAtOnce, None),
        Ok(answer) => (watch(&mut reader, watched), answer.field("keep-alive").map(str::to_owned)),
    }
}

fn watch(reader: &mut BufReader<DeadlineStream>, watched: Duration) -> Idle {
    let began = Instant::now();
    reader.get_mut().allow(watched);
    match reader.fill_buf() {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Idle::Keeps(watched)
        }
        // The end of the connection, a reset, or a farewell message (408).
        _ if began.elapsed() < AT_ONCE => Idle::ClosesUnsaid,
        _ => Idle::ClosesAfter(began.elapsed()),
    }
}

fn ask(
    reader: &mut BufReader<DeadlineStream>,
    backend: &BackendConfig,
    check: &HealthCheckConfig,
    connection: &str,
) -> io::Result<Whole> {
    let host = check.host.clone().unwrap_or_else(|| authority(&backend.url));
    let version = env!("CARGO_PKG_VERSION");
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadbalancer/{version} (check)\r\n\
         Connection: {connection}\r\n\r\n",
        check.path
    );
    reader.get_mut().write_all(request.as_bytes())?;
    read_answer(reader)
}

fn authority(url: &BackendUrl) -> String {
    match url {
        BackendUrl::Unix { .. } => "localhost".to_owned(),
        url => url.to_string().split_once("://").map_or_else(String::new, |(_, rest)| rest.to_owned()),
    }
}

/// The error in the same words as in the log.
fn told(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timed out".to_owned(),
        ErrorKind::UnexpectedEof => "the connection was closed before the answer's end".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the connection was reset".to_owned(),
        _ => error.to_string(),
    }
}
