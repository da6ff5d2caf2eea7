//! Header fields in both directions. Pure.
//!
//! Hop-by-hop fields are removed (RFC 9110 section 7.6.1) and the forwarding fields are set; no other field
//! is added that the client, or the backend, did not send.

mod hop_by_hop;
mod story;

use std::net::IpAddr;

use crate::http::{Headers, RequestHead, Version};
use hop_by_hop::HopByHop;

/// Carries our name if `Via` is switched off; one field for each balancer that the request has passed.
const PASSED: &str = "X-LB-Passed";
/// Upgrade Required: besides 101, the only answer whose `Upgrade` field is passed on (RFC 9110 section
/// 15.5.22).
const UPGRADE_REQUIRED: u16 = 426;

/// The input for the forwarding fields.
pub struct Forwarding<'a> {
    /// The other end of the client's connection.
    pub peer: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub peer_is_trusted: bool,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client speaks https, as far as the peer is believed.
    pub is_https: bool,
    /// The request's id.
    pub request_id: &'a str,
    /// This balancer's name, which detects forwarding loops.
    pub name: &'a str,
    /// Whether the name is sent in `Via`; otherwise in a field of our own.
    pub via: bool,
}

/// The fields for the backend, beginning with `Host`, which is empty if the client sent none.
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
    push_origin(&mut headers, head, forwarding.peer_is_trusted, forwarding.is_https);
    headers.push("X-Request-ID", forwarding.request_id.as_bytes());
    push_name(&mut headers, head.version, forwarding);
    headers
}

/// Whether the client speaks https: to us, unless a trusted peer says what it speaks to that.
pub fn is_https(sent: &Headers, peer_is_trusted: bool, secure: bool) -> bool {
    let believed = Some(sent).filter(|_| peer_is_trusted);
    believed.and_then(story::scheme).map_or(secure, |scheme| scheme == b"https")
}

/// Adds the scheme and the host that the client asked, as far as the peer is believed.
pub fn push_origin(headers: &mut Headers, head: &RequestHead, peer_is_trusted: bool, is_https: bool) {
    headers.push("X-Forwarded-Proto", if is_https { b"https" } else { b"http" });
    let believed = Some(&head.headers).filter(|_| peer_is_trusted);
    let host = believed.and_then(story::host).unwrap_or(head.host().as_bytes());
    // An HTTP/1.0 request may have no host.
    if !host.is_empty() {
        headers.push("X-Forwarded-Host", host);
    }
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

/// Adds the fields that ask the backend for an upgrade, or grant it to the client (RFC 9110 section 7.8).
pub fn add_upgrade(headers: &mut Headers, protocol: &[u8]) {
    headers.push("Connection", b"Upgrade");
    headers.push("Upgrade", protocol);
}

/// Fields that make no sense for the `forward_auth` service: those about the body, which it does not get, and
/// the conditions and ranges, which are about the backend's answer. A service that looked at them would answer
/// 304, 412 or 206.
const NOT_ASKED: [&str; 10] = [
    "content-type",
    "content-encoding",
    "trailer",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "content-range",
];

/// The client's fields for the `forward_auth` service, without hop-by-hop fields, forwarding fields, and those
/// that are not about who may pass.
pub fn asked(sent: &Headers) -> Headers {
    let hop_by_hop = HopByHop::of(sent);
    let is_not_asked = |name: &str| NOT_ASKED.iter().any(|it| name.eq_ignore_ascii_case(it));
    let mut headers = Headers::with_capacity(sent.len() + 8, sent.byte_len() + 256);
    for (name, value) in sent.iter() {
        let is_dropped = story::is_set_here(name) || story::is_about_the_way(name) || is_not_asked(name);
        if !is_dropped && !hop_by_hop.has(name) {
            headers.push(name, value);
        }
    }
    headers
}

/// The fields for the client of a final answer with this status; ends with the request id.
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

/// The fields for the client of an interim answer (1xx).
pub fn interim(backend: &Headers) -> Headers {
    let hop_by_hop = HopByHop::of(backend);
    let mut headers = Headers::with_capacity(backend.len(), backend.byte_len());
    backend
        .iter()
        .filter(|(name, _)| !hop_by_hop.has(name))
        .for_each(|(name, value)| headers.push(name, value));
    headers
}

/// Whether the request has been here before: our name is in its `Via` or in the field used instead. Checks
/// both, because a reload may have changed which of them is sent.
pub fn has_passed(head: &RequestHead, name: &str) -> bool {
    let name = name.as_bytes();
    head.headers.tokens("via").any(|hop| hop.split(|byte| *byte == b' ').nth(1) == Some(name))
        || head.headers.tokens(PASSED).any(|passed| passed == name)
}

/// Adds `X-Forwarded-For`: the received list and the peer, or the peer alone if it is not trusted.
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
