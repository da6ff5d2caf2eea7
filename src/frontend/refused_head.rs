//! Heads that are refused before they become requests, so that no middleware sees them.

use std::net::SocketAddr;

use log::Level::Info;

use super::date;
use super::dispatch::Dispatch;
use crate::http::{request_id, status};
use crate::logging::event;

/// Logs and counts one; gives the answer to it.
pub(super) fn refusal(
    component: &'static str,
    (code, reason): (u16, &'static str),
    client: SocketAddr,
    dispatch: &dyn Dispatch,
) -> String {
    let id = request_id::new();
    let fields: [(&str, &dyn std::fmt::Display); 4] =
        [("status", &code), ("reason", &reason), ("client", &client), ("request_id", &id)];
    event(Info, component, "refused", &fields);
    dispatch.refused(reason);
    let phrase = status::reason(code);
    let body = format!("{phrase}\n");
    let retry = match code {
        503 => format!("Retry-After: {}\r\n", status::RETRY_SOON),
        _ => String::new(),
    };
    let now = date::now();
    let date = String::from_utf8_lossy(&now);
    format!(
        "HTTP/1.1 {code} {phrase}\r\nDate: {date}\r\nContent-Type: text/plain; charset=utf-8\r\nX-LB-Reason: {reason}\r\n\
         X-Request-ID: {id}\r\n{retry}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
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
    fn a_503_says_when_to_come_back_and_no_other_does() {
        let client = "192.0.2.1:5".parse().unwrap();
        let answer = |status| refusal("front", (status, "word"), client, &Nobody);
        let unavailable = answer(503);
        assert!(unavailable.contains("\r\nRetry-After: 1\r\n"), "{unavailable}");
        assert!(unavailable.ends_with("\r\nConnection: close\r\n\r\nService Unavailable\n"), "{unavailable}");
        assert!(!answer(431).contains("Retry-After"));
    }
}
