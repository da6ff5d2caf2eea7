//! Heads that are refused before they become requests, so that no middleware sees them.

use std::net::SocketAddr;

use log::Level::Info;

use super::sink::Sink;
use crate::http::{request_id, status};
use crate::logging::event;

/// Logs and counts one; gives the answer to it.
pub(super) fn refusal(
    component: &'static str,
    (code, reason): (u16, &'static str),
    client: SocketAddr,
    sink: &dyn Sink,
) -> String {
    let id = request_id::new();
    let fields: [(&str, &dyn std::fmt::Display); 4] =
        [("status", &code), ("reason", &reason), ("client", &client), ("request_id", &id)];
    event(Info, component, "refused", &fields);
    sink.refused(reason);
    let phrase = status::reason(code);
    let body = format!("{phrase}\n");
    let retry = match code {
        503 => format!("Retry-After: {}\r\n", status::RETRY_SOON),
        _ => String::new(),
    };
    format!(
        "HTTP/1.1 {code} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nX-LB-Reason: {reason}\r\n\
         X-Request-ID: {id}\r\n{retry}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
