//! Redirects plain requests to the TLS listener if so configured. The balancer's own endpoints come first in
//! the chain: monitoring may use them without TLS.

use super::link::{Middleware, Next};
use crate::frontend::ClientRequest;
use crate::http::Headers;
use crate::http::framing::FramingError;
use crate::pool::Live;
use crate::proxy::{End, Outcome, Refusal};

/// The default port of `https`, which URLs omit.
const USUAL_PORT: u16 = 443;

/// Answers 308, which keeps the method and the body (RFC 9110 section 15.4.9).
pub struct RedirectToTls;

impl Middleware for RedirectToTls {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let Some(tls) = live.config.tls.as_ref().filter(|tls| tls.redirect_http) else {
            return next.run(request, live);
        };
        if request.secure || request.is_https {
            return next.run(request, live);
        }
        if request.head.host().is_empty() {
            // Only an HTTP/1.0 request without `Host` gets here; there is no host to redirect it to.
            return Outcome::refused(request, Refusal::Flawed(FramingError::BadHost));
        }
        let location = location(request.head.host(), tls.port(), &request.head.path_and_query());
        let mut headers = Headers::default();
        headers.push("Location", location.as_bytes());
        headers.push("X-LB-Reason", b"redirected_to_tls");
        headers.push("X-Request-ID", request.id.as_bytes());
        headers.push("Content-Type", b"text/plain; charset=utf-8");
        let text = b"Permanent Redirect: use https\n";
        // A client that has left does not get it.
        let _ = request.answer(308, headers, text);
        Outcome { status: 308, backend: None, pool: None, attempts: 0, end: End::Redirected }
    }
}

fn location(host: &str, port: u16, target: &str) -> String {
    let name = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    };
    match port {
        USUAL_PORT => format!("https://{name}{target}"),
        port => format!("https://{name}:{port}{target}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_location_is_the_same_host_by_tls() {
        for (host, port, expected) in [
            ("a.example", 443, "https://a.example/x?y"),
            ("a.example:8080", 8443, "https://a.example:8443/x?y"),
            ("[::1]:80", 443, "https://[::1]/x?y"),
            ("[::1]", 8443, "https://[::1]:8443/x?y"),
        ] {
            assert_eq!(location(host, port, "/x?y"), expected);
        }
    }
}
