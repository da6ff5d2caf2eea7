//! Finds what is malformed or ambiguous in a request's head. A head that two parsers could read in two ways
//! is refused, never repaired. The caller answers 400 and closes the connection.
//!
//! Rules: RFC 9112 sections 3.2 (target, Host), 5 (fields), 6.1 to 6.3 (framing) and 11.2 (smuggling).

use super::headers::{is_token, trim};
use super::{BodyLength, RequestHead, Version};

/// Limit for the fields of a head, and for the members of its `Connection`: bounds the work for a head whose
/// fields are many and short. Browsers send some 20 fields, proxies before us 20 more.
pub const MAX_FIELDS: usize = 256;

/// Why a head is refused; users see [`FramingError::word`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingError {
    /// The method, the target or a field contains a forbidden character.
    Malformed,
    /// `Content-Length` or `Transfer-Encoding` could be read in two ways.
    AmbiguousFraming,
    /// `Host` is missing, repeated or invalid.
    BadHost,
    /// More than [`MAX_FIELDS`] fields or members of `Connection`.
    TooManyFields,
}

impl FramingError {
    /// The word in `X-LB-Reason`, in the log and in the metrics.
    pub fn word(self) -> &'static str {
        match self {
            FramingError::Malformed => "malformed_request",
            FramingError::AmbiguousFraming => "ambiguous_framing",
            FramingError::BadHost => "bad_host",
            FramingError::TooManyFields => "head_too_large",
        }
    }
}

/// Checks the head and returns the length of the request's body.
///
/// # Errors
/// The first error found.
pub fn check(head: &RequestHead) -> Result<BodyLength, FramingError> {
    check_number(head)?;
    check_characters(head)?;
    check_host(head)?;
    body_length(head)
}

/// Checked first, so that the work of the later checks is bounded.
fn check_number(head: &RequestHead) -> Result<(), FramingError> {
    let fits =
        head.headers.len() <= MAX_FIELDS && head.headers.tokens("connection").nth(MAX_FIELDS).is_none();
    if fits { Ok(()) } else { Err(FramingError::TooManyFields) }
}

fn check_characters(head: &RequestHead) -> Result<(), FramingError> {
    // A client must not send a fragment. If one is in a target, one backend may read it as a part of the path
    // and another may not.
    let target_fits = head.target.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#');
    if !is_token(head.method.as_bytes()) || head.target.is_empty() || !target_fits {
        return Err(FramingError::Malformed);
    }
    // CONNECT asks a forward proxy for a tunnel. A backend that granted one would read the bytes that follow
    // as the tunnel's, while we would read them as requests.
    let form_fits = match head.target.as_str() {
        _ if head.method == "CONNECT" => false,
        "*" => head.method == "OPTIONS",
        target => target.starts_with('/') || head.authority().is_some_and(|a| !a.is_empty()),
    };
    if !form_fits {
        return Err(FramingError::Malformed);
    }
    for (name, value) in head.headers.iter() {
        if !is_token(name.as_bytes()) || !value.iter().all(|byte| fits_in_value(*byte)) {
            return Err(FramingError::Malformed);
        }
    }
    Ok(())
}

/// Visible characters, blanks, tabs and bytes over 127 (RFC 9110 section 5.5).
fn fits_in_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn check_host(head: &RequestHead) -> Result<(), FramingError> {
    let mut hosts = head.headers.get_all("host");
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(FramingError::BadHost);
    }
    if !head.authority().is_none_or(|authority| is_host(authority.as_bytes())) {
        return Err(FramingError::BadHost);
    }
    match first {
        Some(host) if is_host(host) => Ok(()),
        None if head.version == Version::Http10 => Ok(()),
        _ => Err(FramingError::BadHost),
    }
}

/// A name, an IPv4 address or a bracketed IPv6 address, with an optional port. Looser than RFC 3986, since
/// backends know their own names, but without any character that could end a header field or begin a path.
pub fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', ..] => match host.iter().position(|byte| *byte == b']') {
            Some(end) => host.split_at(end + 1),
            None => return false,
        },
        _ => host.split_at(host.iter().position(|byte| *byte == b':').unwrap_or(host.len())),
    };
    let inner = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let name_fits = match inner {
        Some(address) => {
            !address.is_empty() && address.iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b))
        }
        None => {
            !name.is_empty()
                && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b))
        }
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name_fits && port_fits
}

fn body_length(head: &RequestHead) -> Result<BodyLength, FramingError> {
    let mut codings = head.headers.get_all("transfer-encoding");
    let mut lengths = head.headers.get_all("content-length");
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() || lengths.next().is_some() {
        return Err(FramingError::AmbiguousFraming);
    }
    match (coding, length) {
        (None, None) => Ok(BodyLength::None),
        (None, Some(length)) => {
            parse_length(length).map(BodyLength::Known).ok_or(FramingError::AmbiguousFraming)
        }
        (Some(coding), None) if head.version == Version::Http11 && is_chunked(coding) => {
            Ok(BodyLength::Chunked)
        }
        _ => Err(FramingError::AmbiguousFraming),
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    trim(coding).eq_ignore_ascii_case(b"chunked")
}

/// Digits only: no sign, no list, no space inside, and below 2^63.
fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = trim(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (length <= i64::MAX as u64).then_some(length)
}

#[cfg(test)]
#[path = "framing/tests.rs"]
mod tests;
