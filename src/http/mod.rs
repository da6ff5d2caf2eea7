//! The vocabulary of HTTP/1.1, pure: heads, their framing, statuses. Used by all layers above; knows no
//! socket, no library and no clock.

pub mod address;
pub mod basic;
pub mod chunked;
pub mod framing;
pub mod headers;
pub mod percent;
pub mod proxy_header;
pub mod request_id;
pub mod status;
pub mod upgrade;

use std::borrow::Cow;

pub use headers::Headers;

/// The protocol versions that a client may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0, or HTTP/0.9, which is treated like it.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The length of a request's body according to its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// `Content-Length`, in bytes; may be 0.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request's first line and header fields, as the client sent them.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// Case-sensitive (RFC 9110 section 9.1).
    pub method: String,
    /// The request target: origin form, absolute form or `*`.
    pub target: String,
    /// The client's version.
    pub version: Version,
    /// In the client's order, including repeated fields.
    pub headers: Headers,
}

impl RequestHead {
    /// Whether the method is GET or HEAD.
    pub fn only_reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// The path without the query; `/` for targets without a path (`*`, `http://host`).
    pub fn path(&self) -> &str {
        let path = self.behind_authority().split(['?', '#']).next().unwrap_or("/");
        if path.starts_with('/') { path } else { "/" }
    }

    /// The target in origin form: the path, or `/` if there is none, and the query unchanged.
    pub fn path_and_query(&self) -> Cow<'_, str> {
        let origin = self.behind_authority().split('#').next().unwrap_or_default();
        match origin.as_bytes().first() {
            Some(b'/') => origin.into(),
            Some(b'?') if self.authority().is_some() => format!("/{origin}").into(),
            _ => "/".into(),
        }
    }

    /// The target to send to a backend. The absolute form is only for requests to proxies (RFC 9112 section
    /// 3.2).
    pub fn origin_target(&self) -> Cow<'_, str> {
        match self.authority() {
            Some(_) if self.method == "OPTIONS" && self.behind_authority().is_empty() => "*".into(),
            Some(_) => self.path_and_query(),
            None => self.target.as_str().into(),
        }
    }

    fn behind_authority(&self) -> &str {
        let Some(authority) = self.authority() else { return &self.target };
        let start = "://".len() + self.target.find("://").unwrap_or(0) + authority.len();
        &self.target[start..]
    }

    /// The host and port of a target in absolute form (RFC 9112 section 3.2.2).
    pub fn authority(&self) -> Option<&str> {
        let rest = match self.target.get(..8) {
            Some(start) if start.eq_ignore_ascii_case("https://") => &self.target[8..],
            _ => match self.target.get(..7) {
                Some(start) if start.eq_ignore_ascii_case("http://") => &self.target[7..],
                _ => return None,
            },
        };
        rest.split(['/', '?', '#']).next()
    }

    /// The requested host: the target's, else that of `Host`, else empty.
    pub fn host(&self) -> &str {
        let field = || self.headers.get("host").and_then(|value| std::str::from_utf8(value).ok());
        self.authority().or_else(field).unwrap_or("")
    }

    /// Size of the method, the target and the fields in bytes.
    pub fn byte_len(&self) -> usize {
        self.method.len() + self.target.len() + self.headers.byte_len()
    }

    /// Whether the client wants to keep the connection open after this request (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        if self.headers.has_token("connection", "close") {
            return false;
        }
        self.version == Version::Http11 || self.headers.has_token("connection", "keep-alive")
    }

    /// Whether sending this request twice has the effect of sending it once (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str) -> RequestHead {
        let mut headers = Headers::default();
        headers.push("Host", b"from-field");
        RequestHead { method: "GET".into(), target: target.into(), version: Version::Http11, headers }
    }

    #[test]
    fn path_is_what_stands_before_the_query() {
        for (target, path) in [
            ("/a/b?c=/d", "/a/b"),
            ("/", "/"),
            ("/?", "/"),
            ("*", "/"),
            ("//a", "//a"),
            ("http://h:80/x?y", "/x"),
            ("HTTP://h", "/"),
            ("https://h/x#f", "/x"),
            ("http://h?q", "/"),
        ] {
            assert_eq!(head(target).path(), path, "{target}");
        }
    }

    #[test]
    fn a_target_without_a_path_keeps_its_query() {
        for (target, expected) in [
            ("/a?b=c", "/a?b=c"),
            ("/?u=http://x/y", "/?u=http://x/y"),
            ("http://a", "/"),
            ("http://a?x=1", "/?x=1"),
            ("http://a?u=/b", "/?u=/b"),
            ("http://a?u=http://c/d", "/?u=http://c/d"),
            ("HTTPS://a:1/b?c#d", "/b?c"),
            ("*", "/"),
            ("foo?u=http://a/b", "/"),
            ("?x", "/"),
        ] {
            assert_eq!(head(target).path_and_query(), expected, "{target}");
        }
    }

    #[test]
    fn who_answers_gets_no_absolute_form() {
        for (method, target, expected) in [
            ("GET", "/a?b", "/a?b"),
            ("GET", "//a", "//a"),
            ("OPTIONS", "*", "*"),
            ("GET", "http://a/b?c", "/b?c"),
            ("GET", "http://a", "/"),
            ("GET", "http://a?b", "/?b"),
            ("OPTIONS", "http://a", "*"),
            ("OPTIONS", "http://a/", "/"),
        ] {
            let head = RequestHead { method: method.into(), ..head(target) };
            assert_eq!(head.origin_target(), expected, "{method} {target}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_names_the_host() {
        assert_eq!(head("/x").host(), "from-field");
        assert_eq!(head("http://other:81/x").host(), "other:81");
    }

    #[test]
    fn keep_alive_follows_version_and_connection() {
        let mut head = head("/");
        assert!(head.keep_alive());
        head.headers.push("Connection", b"foo");
        head.headers.push("Connection", b"bar, Close");
        assert!(!head.keep_alive(), "close counts in a second field, too");
        head.headers.remove("connection");
        head.version = Version::Http10;
        assert!(!head.keep_alive());
        head.headers.push("Connection", b"Keep-Alive");
        assert!(head.keep_alive());
    }
}
