//! Reads requests from a socket, for backends to try things out against: the echo backend and the drill's.

use std::io::{self, BufRead};

use crate::http::Headers;
use crate::http_stream::{self, BodyEnd, invalid};

/// More fields are refused.
const MAX_FIELDS: usize = 256;

/// A request's head.
pub struct Request {
    /// As sent.
    pub method: String,
    /// As sent.
    pub target: String,
    /// As sent.
    pub headers: Headers,
    minor: u8,
}

/// The next head; `None` where the client has closed the connection before it.
///
/// # Errors
/// The connection's, or a head that is malformed, cut or too long.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    http_stream::read_head(reader)?.map(|head| parse(&head)).transpose()
}

fn parse(head: &[u8]) -> io::Result<Request> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed.parse(head).map_err(|error| invalid(&error.to_string()))?;
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(invalid("an incomplete head"));
    };
    let mut headers = Headers::with_capacity(parsed.headers.len(), head.len());
    parsed.headers.iter().for_each(|field| headers.push(field.name, field.value));
    Ok(Request { method: method.into(), target: target.into(), headers, minor })
}

/// Reads the body to its end; how long it was, without chunk framing.
///
/// # Errors
/// The connection's, or a body that is cut or malformed.
pub fn skip_body(reader: &mut impl BufRead, request: &Request) -> io::Result<u64> {
    let end =
        if request.is_chunked() { BodyEnd::LastChunk } else { BodyEnd::Length(request.content_length()?) };
    http_stream::read_body(reader, end, &mut |_| Ok(()))
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("")
    }

    /// Whether the client waits to be asked for its body.
    pub fn expects_continue(&self) -> bool {
        self.headers.has_token("expect", "100-continue")
    }

    /// Whether the body is chunked.
    pub fn is_chunked(&self) -> bool {
        self.headers.has_token("transfer-encoding", "chunked")
    }

    /// The body's length where it is not chunked, in bytes.
    ///
    /// # Errors
    /// It is not a number.
    pub fn content_length(&self) -> io::Result<u64> {
        let Some(value) = self.headers.get("content-length") else { return Ok(0) };
        String::from_utf8_lossy(value).trim().parse().map_err(io::Error::other)
    }

    /// Whether the connection stays open after the answer.
    pub fn keep_alive(&self) -> bool {
        if self.minor == 0 {
            self.headers.has_token("connection", "keep-alive")
        } else {
            !self.headers.has_token("connection", "close")
        }
    }

    /// The `Connection` field of the answer, if it needs one: HTTP/1.0 has to be told that it stays open.
    pub fn connection_field(&self) -> &'static str {
        match (self.keep_alive(), self.minor) {
            (true, 0) => "Connection: keep-alive\r\n",
            (true, _) => "",
            (false, _) => "Connection: close\r\n",
        }
    }
}
