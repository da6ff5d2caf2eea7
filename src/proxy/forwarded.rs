//! Header rules of both directions. Pure.
//!
//! Hop-by-hop fields end here (RFC 9110 section 7.6.1), the forwarding fields are set, and nothing
//! else is added that the client, or the backend, did not send.

use std::net::IpAddr;

use crate::http::{Headers, RequestHead, Version};

/// Fields that belong to one connection; `Expect` is answered here, framing is rebuilt.
const HOP_BY_HOP: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "expect",
];

/// Fields that we set ourselves towards the backend.
const SET_HERE: [&str; 6] =
    ["host", "x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "x-request-id"];

/// What the forwarding fields say.
pub struct Forwarding<'a> {
    /// The other end of the client's connection.
    pub peer: IpAddr,
    /// Whether that one is a trusted proxy.
    pub peer_is_trusted: bool,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the connection is TLS.
    pub secure: bool,
    /// The request's id.
    pub request_id: &'a str,
    /// Our name in `Via`.
    pub via: &'a str,
}

/// The fields for the backend, `Host` first; empty where the client sent none.
pub fn to_backend(head: &RequestHead, forwarding: &Forwarding<'_>) -> Headers {
    let mut headers = Headers::with_capacity(head.headers.len() + 8, head.headers.byte_len() + 256);
    headers.push("Host", head.host().as_bytes());
    for (name, value) in head.headers.iter() {
        if !is_one_of(name, &SET_HERE) && !ends_here(&head.headers, name) {
            headers.push(name, value);
        }
    }
    push_forwarded_for(&mut headers, head, forwarding);
    headers.push_shown("X-Real-IP", forwarding.client);
    let proto: &[u8] = if forwarding.secure { b"https" } else { b"http" };
    headers.push("X-Forwarded-Proto", believed(head, "x-forwarded-proto", forwarding).unwrap_or(proto));
    let host = head.host().as_bytes();
    let said = believed(head, "x-forwarded-host", forwarding).filter(|said| !said.is_empty());
    let host = said.unwrap_or(host);
    // HTTP/1.0 may come without one.
    if !host.is_empty() {
        headers.push("X-Forwarded-Host", host);
    }
    headers.push("X-Request-ID", forwarding.request_id.as_bytes());
    let version = if head.version == Version::Http10 { "1.0" } else { "1.1" };
    headers.push_shown("Via", format_args!("{version} {}", forwarding.via));
    headers
}

/// The protocol that prepared fields ask to be upgraded to.
pub fn upgrade(prepared: &Headers) -> Option<&[u8]> {
    prepared.get("upgrade")
}

/// Adds what asks the backend, or grants the client, an upgrade (RFC 9110 section 7.8).
pub fn add_upgrade(headers: &mut Headers, protocol: &[u8]) {
    headers.push("Connection", b"Upgrade");
    headers.push("Upgrade", protocol);
}

/// The fields for the client, with the request's id at the end.
pub fn to_client(backend: &Headers, request_id: &str) -> Headers {
    let mut headers = Headers::with_capacity(backend.len() + 1, backend.byte_len() + 64);
    for (name, value) in backend.iter() {
        if !name.eq_ignore_ascii_case("x-request-id") && !ends_here(backend, name) {
            headers.push(name, value);
        }
    }
    headers.push("X-Request-ID", request_id.as_bytes());
    headers
}

/// Whether the request has been here before: our name stands in its `Via`.
pub fn has_passed(head: &RequestHead, via: &str) -> bool {
    head.headers.tokens("via").any(|hop| hop.split(|byte| *byte == b' ').nth(1) == Some(via.as_bytes()))
}

/// Hop-by-hop by definition, or because `Connection` names it. `Host` can't be named away.
fn ends_here(headers: &Headers, name: &str) -> bool {
    is_one_of(name, &HOP_BY_HOP)
        || (headers.has_token("connection", name) && !name.eq_ignore_ascii_case("host"))
}

fn is_one_of(name: &str, list: &[&str]) -> bool {
    list.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// What a trusted proxy says; an empty value says nothing.
fn believed<'a>(head: &'a RequestHead, name: &str, forwarding: &Forwarding<'_>) -> Option<&'a [u8]> {
    head.headers.get(name).filter(|value| forwarding.peer_is_trusted && !value.is_empty())
}

/// The way so far with the peer at its end; a stranger's story of the way is dropped.
fn push_forwarded_for(headers: &mut Headers, head: &RequestHead, forwarding: &Forwarding<'_>) {
    let peer = forwarding.peer.to_canonical();
    if !forwarding.peer_is_trusted || head.headers.get("x-forwarded-for").is_none() {
        return headers.push_shown("X-Forwarded-For", peer);
    }
    let mut way = Vec::new();
    for hop in head.headers.tokens("x-forwarded-for") {
        way.extend_from_slice(hop);
        way.extend_from_slice(b", ");
    }
    way.extend_from_slice(peer.to_string().as_bytes());
    headers.push("X-Forwarded-For", &way);
}

#[cfg(test)]
#[path = "forwarded/tests.rs"]
mod tests;
