//! Probes a backend once, and describes failures in the same words as `check --probe`.

use std::io::ErrorKind::Interrupted;
use std::time::Instant;

use crate::client_side::NoClient;
use crate::config::{HealthCheckConfig, HealthCheckKind};
use crate::http::Headers;
use crate::pool::{Backend, Problem, ProblemKind};
use crate::transport::probe::{ask, connects};
use crate::transport::{AttemptError, BackendReply, Cause, Stage};

/// How much of a body is searched for `expect_body`.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Probes the backend once.
///
/// # Errors
/// Why the probe failed.
pub(super) fn probe(backend: &Backend, check: &HealthCheckConfig) -> Result<(), Problem> {
    match check.kind {
        HealthCheckKind::Tcp => connects(backend, check)
            .map_err(|why| Problem::new(ProblemKind::Unreachable, format!("tcp: {why}"))),
        HealthCheckKind::Http => answers(backend, check),
        // The health checker starts no probes of this kind.
        HealthCheckKind::None => Ok(()),
    }
}

fn answers(backend: &Backend, check: &HealthCheckConfig) -> Result<(), Problem> {
    let deadline = Instant::now() + check.timeout;
    let reply = ask(backend, check, &headers(backend, check)).map_err(|error| not_answered(&error, check))?;
    let status = reply.status;
    if !check.expect_status.contain(status) {
        let text = format!("GET {}: {status}, and {} is expected", check.path, check.expect_status);
        return Err(Problem::new(ProblemKind::Status, text));
    }
    let Some(expected) = check.expect_body.as_deref() else { return Ok(()) };
    has_body(reply, expected, deadline)
        .map_err(|why| Problem::new(ProblemKind::Body, format!("GET {}: {status}, and {why}", check.path)))
}

fn headers(backend: &Backend, check: &HealthCheckConfig) -> Headers {
    let mut headers = Headers::default();
    let host = check.host.clone().unwrap_or_else(|| backend.authority());
    headers.push("Host", host.as_bytes());
    let agent = concat!("loadbalancer/", env!("CARGO_PKG_VERSION"), " (health check)");
    headers.push("User-Agent", agent.as_bytes());
    headers.push("Connection", b"close");
    headers
}

/// Failures before the request was sent are described without the request.
fn not_answered(error: &AttemptError, check: &HealthCheckConfig) -> Problem {
    let kind = match (error.stage, &error.cause) {
        (Stage::Connect, _) => return Problem::new(ProblemKind::Unreachable, error.to_string()),
        (_, Cause::TimedOut) => ProblemKind::TimedOut,
        (_, Cause::Closed) => ProblemKind::Closed,
        (_, Cause::NotHttp(_) | Cause::Unacceptable(_)) => ProblemKind::NotHttp,
        _ => ProblemKind::Other,
    };
    Problem::new(kind, format!("GET {}: {error}", check.path))
}

/// Searches the body until the deadline; the last read may exceed it by one wait.
fn has_body(reply: BackendReply, expected: &str, deadline: Instant) -> Result<(), String> {
    let (mut body, mut piece) = (Vec::new(), [0; 4096]);
    let mut rest = reply.body;
    let lacks = || format!("its body does not have {expected:?}");
    let end = loop {
        if Instant::now() >= deadline {
            break Err("its body took too long".to_owned());
        }
        match rest.read(&mut piece, &mut NoClient) {
            Ok(_) if body.len() >= MAX_BODY_BYTES => break Err(lacks()),
            Ok(0) => break Err(lacks()),
            Ok(amount) => body.extend_from_slice(&piece[..amount]),
            Err(error) if error.kind() == Interrupted => {}
            Err(error) => break Err(format!("its body broke off: {error}")),
        }
    };
    // A match counts even if an error follows.
    let found = body.windows(expected.len()).any(|part| part == expected.as_bytes());
    if found { Ok(()) } else { end }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::config::{Overrides, parse};
    use crate::pool::backend::tests::backends;

    /// Probes a backend that answers 200 and sends these pieces, with a pause before each. It listens on the
    /// health check's `port`.
    fn probed(pieces: &'static [&'static str], pause: Duration) -> Result<(), Problem> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backend = &backends(1)[0];
        backend.resolved_addresses().set(&["127.0.0.1:1".parse().unwrap()]);
        let check = r#""timeout": "200ms", "expect_body": "ready""#;
        let text = format!(r#"{{ "health_check": {{ {check}, "port": {} }} }}"#, address.port());
        let check = parse(&text, &Overrides::default()).unwrap().default_pool.health_check;
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            pieces.iter().all(|piece| {
                thread::park_timeout(pause);
                client.write_all(piece.as_bytes()).is_ok()
            });
        });
        probe(backend, &check)
    }

    #[test]
    fn a_body_is_searched_until_its_end_or_the_deadline() {
        let problem = |text: &str| Err(Problem::new(ProblemKind::Body, text));
        assert_eq!(probed(&["is re", "ady now"], Duration::ZERO), Ok(()));
        let wrong = probed(&["is not"], Duration::ZERO);
        assert_eq!(wrong, problem("GET /health: 200, and its body does not have \"ready\""));
        let begun = Instant::now();
        let slow = probed(&["x"; 1000], Duration::from_millis(20));
        assert_eq!(slow, problem("GET /health: 200, and its body took too long"));
        assert!(begun.elapsed() < Duration::from_secs(10), "of twenty that it would take");
    }
}
