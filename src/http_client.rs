//! Reads an HTTP answer directly from a connection, for the drill's clients, `check --probe` and `health`.
//! They need to see what an HTTP library hides: whether an answer was broken off, and how long a connection
//! stays open afterwards.

use std::io::{self, BufRead, ErrorKind};

use crate::http::{Headers, Version};
use crate::http_stream::{BodyEnd, invalid, read_body, read_head};
use crate::transport::answer_head::{AnswerHead, Parsed, parse};

/// Limit for an answer's body.
const MAX_BODY_BYTES: u64 = 1 << 20;

/// An answer that is complete according to its framing.
#[derive(Debug)]
pub struct Whole {
    /// The status code.
    pub status: u16,
    /// The body without chunked coding.
    pub body: Vec<u8>,
    /// Whether the connection stays open.
    pub keeps: bool,
    headers: Headers,
}

impl Whole {
    /// The first value of the field with this name, if it is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get(name)?).ok()
    }
}

/// Reads the answer to a GET, a PUT or a POST.
///
/// # Errors
/// Errors of the connection; `UnexpectedEof` if it ends before the answer does, `InvalidData` if the answer
/// is not HTTP or exceeds the limits.
pub fn read_answer(reader: &mut impl BufRead) -> io::Result<Whole> {
    loop {
        let head = read_head(reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        let head = match parse(&head) {
            Parsed::Whole(head, _) => head,
            Parsed::Malformed(why) => return Err(invalid(&why)),
            Parsed::TooManyFields => return Err(invalid("too many fields")),
            Parsed::Partial => return Err(invalid("no status line")),
        };
        // Interim answers come before the answer itself.
        if head.status >= 200 {
            return rest_of(head, reader);
        }
    }
}

fn rest_of(head: AnswerHead, reader: &mut impl BufRead) -> io::Result<Whole> {
    let AnswerHead { version, status, headers, .. } = head;
    let says = |word: &str| headers.has_token("connection", word);
    let keeps = if version == Version::Http10 { says("keep-alive") } else { !says("close") };
    let end = match headers.get("content-length") {
        _ if matches!(status, 204 | 304) => BodyEnd::Length(0),
        _ if headers.get("transfer-encoding").is_some() => BodyEnd::LastChunk,
        Some(length) => {
            let length = std::str::from_utf8(length).ok().and_then(|length| length.trim().parse().ok());
            BodyEnd::Length(length.ok_or_else(|| invalid("a length that is no number"))?)
        }
        None => BodyEnd::StreamEnd,
    };
    if matches!(end, BodyEnd::Length(length) if length > MAX_BODY_BYTES) {
        return Err(invalid("a body of more than 1 MiB"));
    }
    let mut body = Vec::new();
    read_body(reader, end, &mut |piece| {
        body.extend_from_slice(piece);
        match body.len() as u64 > MAX_BODY_BYTES {
            true => Err(invalid("a body of more than 1 MiB")),
            false => Ok(()),
        }
    })?;
    Ok(Whole { status, body, keeps: keeps && end != BodyEnd::StreamEnd, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the status, the body and whether the connection stays open; or the kind of error.
    fn check(text: &str, expected: Result<(u16, &str, bool), ErrorKind>) {
        let found = read_answer(&mut text.as_bytes());
        let found = found.map(|it| (it.status, String::from_utf8(it.body).unwrap(), it.keeps));
        let found = found.as_ref().map(|(status, body, keeps)| (*status, body.as_str(), *keeps));
        assert_eq!(found.map_err(|error| error.kind()), expected, "{text:?}");
    }

    #[test]
    fn an_answer_ends_where_its_framing_says() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabX", Ok((200, "ab", true)));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            Ok((200, "ab", true)),
        );
        check("HTTP/1.1 200 OK\r\n\r\nto the end", Ok((200, "to the end", false)));
        check("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "", true)));
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",
            Ok((404, "", true)),
        );
        check("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", Ok((200, "", false)));
        check("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Ok((200, "", false)));
        check("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", Ok((200, "", true)));
    }

    #[test]
    fn what_is_cut_or_no_http_is_told_apart() {
        for cut in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"] {
            check(cut, Err(ErrorKind::UnexpectedEof));
        }
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            Err(ErrorKind::UnexpectedEof),
        );
        for wrong in
            ["220 smtp ready\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200\r\nContent-Length: x\r\n\r\n"]
        {
            check(wrong, Err(ErrorKind::InvalidData));
        }
        let giant = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 << 20);
        check(&giant, Err(ErrorKind::InvalidData));
    }
}
