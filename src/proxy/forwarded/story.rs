//! Forwarding fields sent by a client or by a proxy before us: which fields we set ourselves, which are
//! dropped unless the peer is a trusted proxy, and which values of a trusted proxy are used.

use crate::http::Headers;
use crate::http::framing::is_host;
use crate::http::headers::looks_like;

/// Fields that we set ourselves for the backend.
const SET_HERE: [&str; 6] =
    ["host", "x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "x-request-id"];
/// The standard field (RFC 7239).
const FORWARDED: &str = "forwarded";
/// Prefix of all other forwarding fields: `-Port`, `-Prefix`, `-Server`, `-Ssl`, `-Scheme` and so on.
const X_FORWARDED: &str = "x-forwarded";

/// Whether we set this field, so that a received one is always dropped. A name with underscores counts as the
/// same: backends with CGI variable names (WSGI, Rack, PHP) cannot distinguish the two, so the received field
/// would stand beside ours or replace it.
pub(super) fn is_set_here(name: &str) -> bool {
    SET_HERE.iter().any(|other| looks_like(name, other))
}

/// Whether this is a forwarding field, which is dropped unless the peer is trusted.
pub(super) fn is_about_the_way(name: &str) -> bool {
    looks_like(name, FORWARDED)
        || name.get(..X_FORWARDED.len()).is_some_and(|start| looks_like(start, X_FORWARDED))
}

/// The client's scheme according to a trusted proxy. Some proxies (Traefik) write that of a WebSocket, where
/// `wss` means `https`. `None` for any other value and for repeated fields: then our own value is sent.
pub(super) fn scheme(headers: &Headers) -> Option<&'static [u8]> {
    let said = only(headers, "x-forwarded-proto")?;
    let is = |scheme: &[u8]| said.eq_ignore_ascii_case(scheme);
    match () {
        () if is(b"https") || is(b"wss") => Some(b"https"),
        () if is(b"http") || is(b"ws") => Some(b"http"),
        () => None,
    }
}

/// The requested host according to a trusted proxy, if it is valid: backends build links from it. A list,
/// written by proxies that append to the client's value, is not valid.
pub(super) fn host(headers: &Headers) -> Option<&[u8]> {
    only(headers, "x-forwarded-host").filter(|said| is_host(said) && !said.contains(&b','))
}

fn only<'h>(headers: &'h Headers, name: &'h str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name);
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_the_same_field() {
        for (name, set_here, about_the_way) in [
            ("X-Forwarded-For", true, true),
            ("x_forwarded_for", true, true),
            ("X-Forwarded_Proto", true, true),
            ("X_REAL_IP", true, false),
            ("X_Request-ID", true, false),
            ("Forwarded", false, true),
            ("X-Forwarded-Port", false, true),
            ("X_Forwarded_Prefix", false, true),
            ("x-forwarded", false, true),
            ("X-Forward", false, false),
            ("Forwarded-For", false, false),
            ("X-Real", false, false),
        ] {
            assert_eq!((is_set_here(name), is_about_the_way(name)), (set_here, about_the_way), "{name}");
        }
    }

    #[test]
    fn a_scheme_is_one_and_a_host_is_one() {
        let said = |name: &str, values: &[&str]| {
            let mut headers = Headers::default();
            values.iter().for_each(|value| headers.push(name, value.as_bytes()));
            headers
        };
        for (values, expected) in [
            (&["https"][..], Some("https")),
            (&["HTTPS"], Some("https")),
            (&["http"], Some("http")),
            (&["wss"], Some("https")),
            (&["ws"], Some("http")),
            (&["javascript"], None),
            (&["https, http"], None),
            (&["https", "http"], None),
            (&[""], None),
        ] {
            let headers = said("X-Forwarded-Proto", values);
            assert_eq!(scheme(&headers), expected.map(str::as_bytes), "{values:?}");
        }
        for (values, good) in [
            (&["shop.example"][..], true),
            (&["[2001:db8::1]:8443"], true),
            (&["a b"], false),
            (&["a/b"], false),
            (&["evil.example#"], false),
            (&["a,b"], false),
            (&["a, b"], false),
            (&["a", "b"], false),
            (&["u@h"], false),
            (&[""], false),
        ] {
            assert_eq!(host(&said("x-forwarded-host", values)).is_some(), good, "{values:?}");
        }
    }
}
