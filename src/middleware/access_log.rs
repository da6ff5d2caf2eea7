//! Hands one access log line per request to a writer thread, so that no request waits for the log.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::link::{Middleware, Next};
use crate::config::{AccessField, AccessLogConfig, LogFormat};
use crate::frontend::ClientRequest;
use crate::http::{RequestHead, Version, basic};
use crate::logging::combined::Combined;
use crate::logging::line::{Encoding, Line};
use crate::logging::writer::LineSender;
use crate::pool::Live;
use crate::proxy::{End, Outcome};

/// Limit for logged texts of a client (method, target and others), in bytes; a client may send 32 KiB of
/// them.
const MAX_LOGGED_BYTES: usize = 2048;

/// Writes access lines.
pub struct AccessLog(pub LineSender);

impl Middleware for AccessLog {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let outcome = next.run(request, live);
        let log = &live.config.access_log;
        if log.enabled && (log.own_pages || !is_look_at_own_page(&request.head, &outcome)) {
            self.0.send(line(log, request, &outcome, live));
        }
        outcome
    }
}

/// Whether the request only read one of our own endpoints. Probes, scrapes and open dashboards would fill the
/// log; the metrics count them.
fn is_look_at_own_page(head: &RequestHead, outcome: &Outcome) -> bool {
    outcome.end == End::Own && matches!(head.method.as_str(), "GET" | "HEAD")
}

fn line(log: &AccessLogConfig, request: &ClientRequest, outcome: &Outcome, live: &Live) -> Vec<u8> {
    let mut line = match log.format {
        LogFormat::Combined => combined(request, outcome),
        LogFormat::Json => of_fields(log, Encoding::Json, request, outcome, live),
        LogFormat::Logfmt => of_fields(log, Encoding::Logfmt, request, outcome, live),
    }
    .into_bytes();
    line.push(b'\n');
    line
}

fn of_fields(
    log: &AccessLogConfig,
    encoding: Encoding,
    request: &ClientRequest,
    outcome: &Outcome,
    live: &Live,
) -> String {
    let head = &request.head;
    let spans = request.watch.spans(request.received.elapsed(), outcome.attempts);
    let sent = |name: &str| head.headers.get(name).map(String::from_utf8_lossy);
    let mut line = Line::at(SystemTime::now(), encoding);
    line.field("level", &"INFO").field("component", &"access");
    for field in &log.fields {
        let name = field.name();
        match field {
            AccessField::Method => line.field(name, &shortened(&head.method)),
            AccessField::Host => line.field(name, &shortened(head.host())),
            AccessField::Path => line.field(name, &shortened(&head.target)),
            AccessField::Status => line.number(name, &outcome.status),
            AccessField::LatencyMs => line.number(name, &Milliseconds(spans.total)),
            AccessField::QueueMs => line.number(name, &Milliseconds(spans.queue)),
            AccessField::ConnectMs => line.number(name, &Milliseconds(spans.connect)),
            AccessField::BackendMs => line.number(name, &Milliseconds(spans.backend)),
            AccessField::ClientMs => line.number(name, &Milliseconds(spans.client)),
            AccessField::Client => line.field(name, &request.client),
            AccessField::Pool => line.optional(name, outcome.pool.map(|pool| live.pool_name(pool))),
            AccessField::Backend => line.optional(name, outcome.backend.as_deref()),
            AccessField::Attempts => line.number(name, &outcome.attempts),
            AccessField::Bytes => line.number(name, &request.responder.body_bytes()),
            AccessField::Tls => line.optional(name, request.tls_version),
            AccessField::RequestId => line.field(name, &request.id),
            // Most requests have no reason, and a logfmt line may omit the field.
            AccessField::Reason if encoding == Encoding::Logfmt && outcome.reason().is_none() => &mut line,
            AccessField::Reason => line.optional(name, outcome.reason()),
            AccessField::Peer => line.field(name, &request.peer),
            AccessField::Protocol => line.field(name, &protocol(head)),
            AccessField::Referer => line.optional(name, sent("referer").as_deref().map(shortened)),
            AccessField::UserAgent => line.optional(name, sent("user-agent").as_deref().map(shortened)),
        };
    }
    line.finish()
}

fn combined(request: &ClientRequest, outcome: &Outcome) -> String {
    let head = &request.head;
    let sent = |name: &str| head.headers.get(name).map(|value| &value[..value.len().min(MAX_LOGGED_BYTES)]);
    let login = head.headers.get("authorization").and_then(basic::credentials);
    let user = login.as_ref().map(|login| &login.user[..login.user.len().min(MAX_LOGGED_BYTES)]);
    let line = Combined {
        client: request.client,
        user: user.filter(|user| !user.is_empty()),
        time: SystemTime::now(),
        request: (shortened(&head.method), shortened(&head.target), protocol(head)),
        status: outcome.status,
        bytes: request.responder.body_bytes(),
        referer: sent("referer"),
        user_agent: sent("user-agent"),
    };
    line.line()
}

fn protocol(head: &RequestHead) -> &'static str {
    match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    }
}

/// Cuts to the limit, at a character boundary.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LOGGED_BYTES)]
}

/// Writes three decimals, with integers: floating point would cost more than the rest of the line.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};
    use crate::logging::logfmt;
    use crate::proxy::{Refusal, fakes};
    use crate::reload;

    fn live(access_log: &str) -> Live {
        let text = format!(r#"{{ "access_log": {access_log} }}"#);
        reload::build(parse(&text, &Overrides::default()).unwrap(), None)
    }

    fn written(access_log: &str, target: &str) -> String {
        let (mut request, _) = fakes::get(target);
        let outcome = Outcome::refused(&mut request, Refusal::NoBackend).after(2);
        let live = live(access_log);
        let line = line(&live.config.access_log, &request, &outcome, &live);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_long_target_is_cut_between_characters() {
        let odd = format!("/{}", "é".repeat(MAX_LOGGED_BYTES));
        assert_eq!(shortened(&odd).len(), MAX_LOGGED_BYTES - 1);
        assert_eq!(shortened("/é"), "/é");
        assert_eq!(shortened(&"x".repeat(3000)).len(), MAX_LOGGED_BYTES);
    }

    #[test]
    fn milliseconds_have_three_decimals() {
        let text = |micros| Milliseconds(Duration::from_micros(micros)).to_string();
        assert_eq!(
            (text(0), text(7), text(1_500), text(3_972_011)),
            ("0.000".into(), "0.007".into(), "1.500".into(), "3972.011".into())
        );
    }

    #[test]
    fn a_client_can_not_forge_a_field() {
        let text = written("true", "/a?x=1\" status=200 \\");
        let pairs = logfmt::parse(text.trim_end()).unwrap();
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

    #[test]
    fn json_has_the_same_names_and_numbers_are_numbers() {
        let line = written(r#"{ "format": "json" }"#, "/a?x=\"1\"\n");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["path"], "/a?x=\"1\"\n");
        assert_eq!((&value["status"], &value["backend"]), (&503.into(), &serde_json::Value::Null));
        assert!(value["latency_ms"].is_number() && value["queue_ms"].is_number(), "{line}");
    }

    #[test]
    fn fields_are_written_in_the_order_asked_for() {
        let line = written(r#"{ "fields": ["status", "protocol", "user_agent", "path"] }"#, "/a");
        let (_, rest) = line.trim_end().split_once("component=access ").unwrap();
        assert_eq!(rest, "status=503 protocol=HTTP/1.1 user_agent=- path=/a");
    }
}
