//! A line a request on standard output, handed over to a writer thread: no request waits for it.

use std::time::SystemTime;

use super::{Middleware, Next};
use crate::frontend::ClientRequest;
use crate::logging::logfmt::Line;
use crate::logging::writer::LineSender;
use crate::pool::Live;
use crate::proxy::Outcome;

/// Longest method or target written, in bytes; clients may send 32 KiB of it.
const MAX_LOGGED_BYTES: usize = 2048;

/// Writes access lines.
pub struct AccessLog(pub LineSender);

impl Middleware for AccessLog {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let outcome = next.run(request, live);
        if live.config.access_log {
            self.0.send(line(request, &outcome));
        }
        outcome
    }
}

fn line(request: &ClientRequest, outcome: &Outcome) -> Vec<u8> {
    let latency_ms = request.received.elapsed().as_secs_f64() * 1000.0;
    let backend = outcome.backend.as_deref().unwrap_or("-");
    let mut line = Line::at(SystemTime::now());
    line.field("level", &"INFO")
        .field("component", &"access")
        .field("method", &shortened(&request.head.method))
        .field("path", &shortened(&request.head.target))
        .field("status", &outcome.status)
        .field("latency_ms", &format_args!("{latency_ms:.3}"))
        .field("client", &request.client)
        .field("backend", &backend)
        .field("attempts", &outcome.attempts)
        .field("bytes", &request.responder.body_bytes())
        .field("request_id", &request.id);
    if let Some(reason) = outcome.reason() {
        line.field("reason", &reason);
    }
    let mut line = line.finish().into_bytes();
    line.push(b'\n');
    line
}

/// Cut before the character that goes beyond.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LOGGED_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::logfmt;
    use crate::proxy::{Refusal, fakes};

    #[test]
    fn a_long_target_is_cut_between_characters() {
        let odd = format!("/{}", "é".repeat(MAX_LOGGED_BYTES));
        assert_eq!(shortened(&odd).len(), MAX_LOGGED_BYTES - 1);
        assert_eq!(shortened("/é"), "/é");
        assert_eq!(shortened(&"x".repeat(3000)).len(), MAX_LOGGED_BYTES);
    }

    #[test]
    fn a_client_can_not_forge_a_field() {
        let (mut request, _) = fakes::get("/a?x=1\" status=200 \\");
        let outcome = Outcome::refused(&mut request, Refusal::NoBackend).after(2);
        let text = String::from_utf8(line(&request, &outcome)).unwrap();
        let (_, pairs) = text.trim_end().split_once(' ').unwrap();
        let pairs = logfmt::parse(pairs).unwrap();
        let value = |key: &str| {
            let found: Vec<_> = pairs.iter().filter(|(name, _)| name == key).collect();
            assert_eq!(found.len(), 1, "{key} in {text}");
            found[0].1.clone()
        };
        assert_eq!(value("path"), "/a?x=1\" status=200 \\");
        assert_eq!(value("status"), "503");
        assert_eq!(value("attempts"), "2");
        assert_eq!(value("reason"), "no_healthy_backend");
    }
}
