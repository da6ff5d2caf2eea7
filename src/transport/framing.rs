//! How an answer is framed, as determined by ureq-proto. Pure.
//!
//! ureq-proto gets a stand-in for the answer's head, with only the fields that affect framing: it accepts at
//! most 128 fields and lower-cases and groups them, which a proxy must not do. It only determines how the
//! body ends. Chunks are decoded by [`crate::http::chunked`], because ureq-proto 0.7.1 rejects a chunk whose
//! line is longer than 20 bytes (RFC 9112 section 7.1.1: unknown extensions are ignored) and drops trailers.

use std::io::Write;

use ureq_proto::BodyMode;
use ureq_proto::client::{Call, RecvResponseResult, SendRequestResult};
use ureq_proto::http::{Method, Request, Uri};

use super::answer_head::AnswerHead;
use crate::http::Version;

/// Fields that affect framing.
const FRAMING_FIELDS: [&str; 3] = ["content-length", "transfer-encoding", "connection"];
/// Length limit of the stand-in for the request.
const MAX_REQUEST_BYTES: usize = 128;

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// How the body ends.
    pub mode: BodyMode,
    /// Whether the connection can be reused then (RFC 9112 section 9.3).
    pub keeps: bool,
}

/// How the answer to a request of this method is framed.
///
/// # Errors
/// Why the framing can't be determined, for people.
pub fn of(method: &str, head: &AnswerHead) -> Result<Framing, String> {
    let coding = head.headers.get("transfer-encoding");
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        // We ask for no other coding, and the client would get encoded data as the answer.
        return Err("a transfer coding other than chunked".to_owned());
    }
    let method = if method == "HEAD" { Method::HEAD } else { Method::GET };
    let mode = body_mode(method, &stand_in(head)).map_err(|error| error.to_string())?;
    let says = |word| head.headers.has_token("connection", word);
    let keeps = !says("close") && (head.version == Version::Http11 || says("keep-alive"));
    // A body delimited by the close leaves no connection.
    Ok(Framing { mode, keeps: keeps && mode != BodyMode::CloseDelimited })
}

fn stand_in(head: &AnswerHead) -> Vec<u8> {
    let minor = if head.version == Version::Http10 { 0 } else { 1 };
    let mut text = Vec::with_capacity(128);
    // Writing to a Vec can't fail.
    let _ = write!(text, "HTTP/1.{minor} {} \r\n", head.status);
    for (name, value) in head.headers.iter() {
        if FRAMING_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field)) {
            let _ = write!(text, "{name}: ");
            text.extend_from_slice(value);
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn body_mode(method: Method, head: &[u8]) -> Result<BodyMode, ureq_proto::Error> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static("http://backend/");
    let mut call = Call::new(request)?.proceed();
    call.write(&mut [0; MAX_REQUEST_BYTES])?;
    let Some(SendRequestResult::RecvResponse(mut call)) = call.proceed()? else {
        return Err(ureq_proto::Error::HttpParseFail("no answer is due".to_owned()));
    };
    call.try_response(head, false)?;
    match call.proceed() {
        Some(RecvResponseResult::RecvBody(call)) => Ok(call.body_mode()),
        Some(_) => Ok(BodyMode::NoBody),
        None => Err(ureq_proto::Error::HttpParseFail("no head".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::answer_head::{Parsed, parse};

    fn check(method: &str, text: &str, expected: Result<(BodyMode, bool), ()>) {
        let Parsed::Whole(head, _) = parse(text.as_bytes()) else { panic!("{text:?} is no head") };
        let found = of(method, &head).map(|framing| (framing.mode, framing.keeps));
        assert_eq!(found.map_err(|_| ()), expected, "{method} {text:?}");
    }

    #[test]
    fn the_body_s_end_is_what_the_head_says() {
        use BodyMode::{Chunked, CloseDelimited, LengthDelimited, NoBody};
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Ok((LengthDelimited(5), true))),
            ("HTTP/1.1 302 OK\r\nLocation: /\r\ncontent-length: 5\r\n\r\n", Ok((LengthDelimited(5), true))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", Ok((NoBody, false))),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Ok((Chunked, true))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                Ok((Chunked, true)),
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", Ok((CloseDelimited, false))),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Ok((LengthDelimited(5), false))),
            (
                "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\n",
                Ok((LengthDelimited(5), true)),
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", Ok((NoBody, true))),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Ok((NoBody, true))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Err(())),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Err(())),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err(())),
        ] {
            check("GET", head, expected);
        }
        check("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Ok((NoBody, true)));
        check("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok((NoBody, true)));
    }
}
