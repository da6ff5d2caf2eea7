//! Header rules of both directions. Pure.
//!
//! Hop-by-hop fields end here (RFC 9110 section 7.6.1), the forwarding fields are set, and nothing
//! else is added that the client, or the backend, did not send.

mod hop_by_hop;
mod story;

use std::net::IpAddr;

use crate::http::{Headers, RequestHead, Version};
use hop_by_hop::HopByHop;

/// Carries our name where `Via` is switched off; one field for each instance that was passed.
const PASSED: &str = "X-LB-Passed";
/// Upgrade Required: the one answer that `Upgrade` is a part of, besides 101 (RFC 9110 section 15.5.22).
const UPGRADE_REQUIRED: u16 = 426;

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
    /// Our name, by which a request that comes round again is known.
    pub name: &'a str,
    /// Whether the name stands in `Via`; else in a field of our own.
    pub via: bool,
}

/// The fields for the backend, `Host` first; empty where the client sent none.
pub fn to_backend(head: &RequestHead, forwarding: &Forwarding<'_>) -> Headers {
    let mut headers = Headers::with_capacity(head.headers.len() + 8, head.headers.byte_len() + 256);
    headers.push("Host", head.host().as_bytes());
    let hop_by_hop = HopByHop::of(&head.headers);
    for (name, value) in head.headers.iter() {
        let is_dropped =
            story::is_set_here(name) || (!forwarding.peer_is_trusted && story::is_about_the_way(name));
        if !is_dropped && !hop_by_hop.has(name) {
            headers.push(name, value);
        }
    }
    push_forwarded_for(&mut headers, head, forwarding);
    headers.push_shown("X-Real-IP", forwarding.client);
    let believed = Some(&head.headers).filter(|_| forwarding.peer_is_trusted);
    let ours: &[u8] = if forwarding.secure { b"https" } else { b"http" };
    headers.push("X-Forwarded-Proto", believed.and_then(story::scheme).unwrap_or(ours));
    let host = believed.and_then(story::host).unwrap_or(head.host().as_bytes());
    // HTTP/1.0 may come without one.
    if !host.is_empty() {
        headers.push("X-Forwarded-Host", host);
    }
    headers.push("X-Request-ID", forwarding.request_id.as_bytes());
    push_name(&mut headers, head.version, forwarding);
    headers
}

fn push_name(headers: &mut Headers, version: Version, forwarding: &Forwarding<'_>) {
    let version = if version == Version::Http10 { "1.0" } else { "1.1" };
    match forwarding.via {
        true => headers.push_shown("Via", format_args!("{version} {}", forwarding.name)),
        false => headers.push(PASSED, forwarding.name.as_bytes()),
    }
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

/// The client's fields for a service that is asked about it: without what is for one connection, about a body that
/// it does not get, or said of the way here.
pub fn asked(sent: &Headers) -> Headers {
    let hop_by_hop = HopByHop::of(sent);
    let is_of_body = |name: &str| {
        ["content-type", "content-encoding", "trailer", "range"]
            .iter()
            .any(|it| name.eq_ignore_ascii_case(it))
    };
    let mut headers = Headers::with_capacity(sent.len() + 8, sent.byte_len() + 256);
    for (name, value) in sent.iter() {
        let is_dropped = story::is_set_here(name) || story::is_about_the_way(name) || is_of_body(name);
        if !is_dropped && !hop_by_hop.has(name) {
            headers.push(name, value);
        }
    }
    headers
}

/// The fields for the client of an answer with this status, with the request's id at the end.
pub fn to_client(status: u16, backend: &Headers, request_id: &str) -> Headers {
    let mut headers = Headers::with_capacity(backend.len() + 2, backend.byte_len() + 64);
    let hop_by_hop = HopByHop::of(backend);
    for (name, value) in backend.iter() {
        if !name.eq_ignore_ascii_case("x-request-id") && !hop_by_hop.has(name) {
            headers.push(name, value);
        }
    }
    if status == UPGRADE_REQUIRED {
        let protocols: Vec<&[u8]> = backend.tokens("upgrade").collect();
        if !protocols.is_empty() {
            add_upgrade(&mut headers, &protocols.join(&b", "[..]));
        }
    }
    headers.push("X-Request-ID", request_id.as_bytes());
    headers
}

/// The fields for the client of an interim answer.
pub fn interim(backend: &Headers) -> Headers {
    let hop_by_hop = HopByHop::of(backend);
    let mut headers = Headers::with_capacity(backend.len(), backend.byte_len());
    backend
        .iter()
        .filter(|(name, _)| !hop_by_hop.has(name))
        .for_each(|(name, value)| headers.push(name, value));
    headers
}

/// Whether the request has been here before: our name stands in its `Via`, or in the field that takes its
/// place. Both are looked at, for a reload may have changed which one is sent.
pub fn has_passed(head: &RequestHead, name: &str) -> bool {
    let name = name.as_bytes();
    head.headers.tokens("via").any(|hop| hop.split(|byte| *byte == b' ').nth(1) == Some(name))
        || head.headers.tokens(PASSED).any(|passed| passed == name)
}

/// `X-Forwarded-For` with the peer appended; where the peer is not trusted, the peer alone.
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
mod tests;
