//! A health probe: the same way to the backend as any request, on a fresh connection.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exchange::exchange;
use super::new_link;
use super::opener::opener;
use super::{BackendReply, Limits, Outgoing};
use crate::client_side::NoClient;
use crate::config::{HealthCheckConfig, HealthCheckKind};
use crate::http::{BodyLength, Headers};
use crate::pool::Backend;

/// How much of a body is searched for `expect_body`.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Probes the backend once.
///
/// # Errors
/// What was not as it should be, for people.
pub fn probe(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    match check.kind {
        HealthCheckKind::Tcp => connects(backend, check),
        HealthCheckKind::Http => answers(backend, check),
    }
}

fn limits(timeout: Duration) -> Limits {
    Limits { connect: timeout, request: timeout, client_body: timeout, idle: Duration::ZERO, max_idle: 0 }
}

/// For `https` a handshake belongs to it.
fn connects(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    opener(backend, check.port)(&limits(check.timeout)).map(drop).map_err(|error| error.to_string())
}

fn answers(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    let mut headers = Headers::default();
    let host = check.host.clone().unwrap_or_else(|| backend.authority());
    headers.push("Host", host.as_bytes());
    headers.push(
        "User-Agent",
        concat!("loadbalancer/", env!("CARGO_PKG_VERSION"), " (health check)").as_bytes(),
    );
    headers.push("Connection", b"close");
    let request = Outgoing {
        method: "GET",
        target: &check.path,
        headers: &headers,
        length: BodyLength::None,
        client: &mut NoClient,
        limits: limits(check.timeout),
        upgrade: false,
        fresh: true,
        repeatable: false,
        watch: None,
    };
    let link = Arc::new(new_link(backend, check.port));
    let deadline = Instant::now() + check.timeout;
    let reply = exchange(&link, request).map_err(|error| error.to_string())?;
    if !check.expect_status.contain(reply.status) {
        return Err(format!("status {}", reply.status));
    }
    check.expect_body.as_deref().map_or(Ok(()), |expected| has_body(reply, expected, deadline))
}

/// A body that trickles is read until the deadline, and then for one more wait at most.
fn has_body(reply: BackendReply, expected: &str, deadline: Instant) -> Result<(), String> {
    let (mut body, mut piece) = (Vec::new(), [0; 4096]);
    let mut rest = reply.body;
    let end = loop {
        if Instant::now() >= deadline {
            break Err("the body took too long".to_owned());
        }
        match rest.read(&mut piece, &mut NoClient) {
            Ok(_) if body.len() >= MAX_BODY_BYTES => break Err("the body is not as expected".to_owned()),
            Ok(0) => break Err("the body is not as expected".to_owned()),
            Ok(amount) => body.extend_from_slice(&piece[..amount]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(format!("the body broke off: {error}")),
        }
    };
    // What has come before an error counts.
    let found = body.windows(expected.len()).any(|part| part == expected.as_bytes());
    if found { Ok(()) } else { end }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::config::{Overrides, parse};
    use crate::pool::backend::tests::backends;

    /// Says all is well and then sends these pieces, with a pause before each.
    fn probed(pieces: &'static [&'static str], pause: Duration) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = &backends(1)[0];
        backend.address_book().set(&[listener.local_addr().unwrap()]);
        let text = r#"{ "health_check": { "timeout": "200ms", "expect_body": "ready" } }"#;
        let check = parse(text, &Overrides::default()).unwrap().default_pool.health_check;
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
        assert_eq!(probed(&["is re", "ady now"], Duration::ZERO), Ok(()));
        let wrong = probed(&["is not"], Duration::ZERO);
        assert_eq!(wrong, Err("the body is not as expected".to_owned()));
        let begun = Instant::now();
        let slow = probed(&["x"; 1000], Duration::from_millis(20));
        assert_eq!(slow, Err("the body took too long".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(10), "of twenty that it would take");
    }
}
