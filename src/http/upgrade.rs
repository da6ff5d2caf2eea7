//! Which protocols a request may leave HTTP for (RFC 9110 section 7.8). Pure.
//!
//! `websocket`, `tcp` (docker's attach and exec), `SPDY/3.1` (kubectl exec) and all other protocols that
//! begin after a 101 are forwarded, since a tunnel relays bytes without reading them. `h2c` (Java's
//! HttpClient, curl `--http2`), `h2`, `HTTP/…` and `TLS/…` are not: more requests follow such an upgrade,
//! which would bypass every rule here, and `h2c` needs a hop-by-hop field (`HTTP2-Settings`). Such a request
//! is answered as if it had not asked for the upgrade.

use super::RequestHead;
use super::Version;

/// Protocols that carry HTTP requests, in the clear or encrypted.
const CARRY_HTTP: [&str; 5] = ["h2c", "h2", "h3", "http", "tls"];

/// The members of `Upgrade` that may be forwarded, as the client wrote them. `None` if there are none, if
/// `Connection` does not name the field, or in HTTP/1.0.
pub fn wanted(head: &RequestHead) -> Option<Vec<u8>> {
    if head.version == Version::Http10 || !head.headers.has_token("connection", "upgrade") {
        return None;
    }
    let carried: Vec<&[u8]> =
        head.headers.tokens("upgrade").filter(|protocol| !carries_http(protocol)).collect();
    (!carried.is_empty()).then(|| carried.join(&b", "[..]))
}

fn carries_http(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    CARRY_HTTP.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::Headers;
    use super::*;

    fn head(version: Version, fields: &[(&str, &str)]) -> RequestHead {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name, value.as_bytes());
        }
        RequestHead { method: "GET".into(), target: "/".into(), version, headers }
    }

    #[test]
    fn what_carries_http_is_not_passed_on() {
        for (upgrade, passed) in [
            ("websocket", Some("websocket")),
            ("WebSocket", Some("WebSocket")),
            ("tcp", Some("tcp")),
            ("SPDY/3.1", Some("SPDY/3.1")),
            ("h2c", None),
            ("H2C", None),
            ("h2", None),
            ("HTTP/2.0", None),
            ("TLS/1.2, HTTP/1.1", None),
            ("h2c, websocket", Some("websocket")),
            ("websocket, raw", Some("websocket, raw")),
            ("h2c-not", Some("h2c-not")),
            ("", None),
        ] {
            let head = head(Version::Http11, &[("Connection", "Upgrade"), ("Upgrade", upgrade)]);
            assert_eq!(wanted(&head), passed.map(|it| it.as_bytes().to_vec()), "{upgrade:?}");
        }
    }

    #[test]
    fn connection_has_to_name_it_on_whatever_line() {
        let two = [("Connection", "keep-alive"), ("connection", "HTTP2-Settings, upgrade"), ("Upgrade", "x")];
        assert_eq!(wanted(&head(Version::Http11, &two)).as_deref(), Some(&b"x"[..]));
        assert_eq!(wanted(&head(Version::Http11, &[("Upgrade", "x")])), None);
        assert_eq!(wanted(&head(Version::Http10, &two)), None, "HTTP/1.0 knows no upgrade");
    }
}
