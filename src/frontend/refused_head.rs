//! Refuses heads before they become requests, so that no middleware sees them.

use std::net::SocketAddr;

use log::Level::Info;

use super::date;
use super::dispatch::Dispatch;
use crate::http::framing::FramingError;
use crate::http::{request_id, status};
use crate::logging::event;

/// Why a head was refused. Uses the reasons of `proxy::Refusal` where they exist there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusedHead {
    /// Not a head of HTTP/1.
    Malformed,
    /// Too long, or too many fields.
    TooLarge,
    /// Not complete within `timeouts.client_header`.
    TooSlow,
}

impl RefusedHead {
    /// Status and reason of the answer.
    fn told_as(self) -> (u16, &'static str) {
        match self {
            RefusedHead::Malformed => (400, FramingError::Malformed.word()),
            RefusedHead::TooLarge => (431, FramingError::TooManyFields.word()),
            RefusedHead::TooSlow => (408, "header_timeout"),
        }
    }
}

/// Logs and counts a refused head; returns the answer to it.
pub(super) fn refusal(why: RefusedHead, client: SocketAddr, dispatch: &dyn Dispatch) -> String {
    let (code, reason) = why.told_as();
    let id = request_id::new();
    let fields: [(&str, &dyn std::fmt::Display); 4] =
        [("status", &code), ("reason", &reason), ("client", &client), ("request_id", &id)];
    event(Info, "front", "refused", &fields);
    dispatch.refused(reason);
    let phrase = status::reason(code);
    let body = format!("{phrase}\n");
    let now = date::now();
    let date = String::from_utf8_lossy(&now);
    format!(
        "HTTP/1.1 {code} {phrase}\r\nDate: {date}\r\nContent-Type: text/plain; charset=utf-8\r\nX-LB-Reason: {reason}\r\n\
         X-Request-ID: {id}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::ClientRequest;

    struct Nobody;

    impl Dispatch for Nobody {
        fn take(&self, _: ClientRequest) {}
    }

    #[test]
    fn each_is_an_answer_that_closes_with_a_reason_that_is_counted() {
        let client = "192.0.2.1:5".parse().unwrap();
        for why in [RefusedHead::Malformed, RefusedHead::TooLarge, RefusedHead::TooSlow] {
            let (code, reason) = why.told_as();
            assert!(crate::metrics::reasons::REASONS.contains(&reason), "{reason}");
            let answer = refusal(why, client, &Nobody);
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} {}\r\n", status::reason(code))), "{answer}");
            assert!(answer.contains(&format!("\r\nX-LB-Reason: {reason}\r\n")), "{answer}");
            assert!(answer.contains("\r\nConnection: close\r\n\r\n"), "{answer}");
        }
    }
}
