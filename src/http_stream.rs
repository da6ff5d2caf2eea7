//! Heads and bodies of HTTP/1 on a blocking stream, for the tools beside the balancer: the clients of `check`,
//! `health` and the drill, and the backends of the demo and the drill.

use std::io::{self, BufRead, ErrorKind, Read};

use crate::http::chunked::Decoder;

/// Longer heads are refused.
const MAX_HEAD_BYTES: u64 = 64 << 10;

/// What ends a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// Its length, in bytes.
    Length(u64),
    /// The last chunk.
    LastChunk,
    /// The end of the stream.
    StreamEnd,
}

/// The next head with its empty line; `None` where the stream ends before its first byte.
///
/// # Errors
/// The stream's; `UnexpectedEof` where it ends within the head, `InvalidData` where the head is too long.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        let left = MAX_HEAD_BYTES.saturating_sub(head.len() as u64);
        if reader.by_ref().take(left).read_until(b'\n', &mut head)? == 0 {
            return match (left, head.is_empty()) {
                (0, _) => Err(invalid("a head without end")),
                (_, true) => Ok(None),
                (_, false) => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
    }
    Ok(Some(head))
}

/// Passes the body, without its chunks' framing, to `data` piece by piece; returns its length.
///
/// # Errors
/// The stream's and those of `data`; `UnexpectedEof` where the body is cut, `InvalidData` where its chunks are
/// malformed.
pub fn read_body(
    reader: &mut impl BufRead,
    end: BodyEnd,
    data: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut total, mut decoder) = (0, Decoder::default());
    loop {
        let is_over = match end {
            BodyEnd::Length(length) => total == length,
            BodyEnd::LastChunk => decoder.is_done(),
            BodyEnd::StreamEnd => false,
        };
        if is_over {
            return Ok(total);
        }
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return if end == BodyEnd::StreamEnd { Ok(total) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        let (mut passed, known) = (Ok(()), total);
        let mut pass = |piece: &[u8]| {
            total += piece.len() as u64;
            if passed.is_ok() {
                passed = data(piece);
            }
        };
        let taken = match end {
            BodyEnd::LastChunk => decoder.take(bytes, &mut pass).map_err(|_| invalid("malformed chunks"))?,
            BodyEnd::Length(length) => {
                let most = usize::try_from(length - known).unwrap_or(usize::MAX).min(bytes.len());
                pass(&bytes[..most]);
                most
            }
            BodyEnd::StreamEnd => {
                pass(bytes);
                bytes.len()
            }
        };
        passed?;
        reader.consume(taken);
    }
}

/// An error for what is no HTTP.
pub fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not HTTP ({what})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_whole_cut_or_not_there() {
        let check = |text: &str, expected: Result<Option<&str>, ErrorKind>| {
            let found = read_head(&mut text.as_bytes());
            let found = found.map(|head| head.map(|it| String::from_utf8(it).unwrap()));
            assert_eq!(found.map_err(|error| error.kind()), expected.map(|head| head.map(str::to_owned)));
        };
        check("a\r\n\r\nb", Ok(Some("a\r\n\r\n")));
        check("a\n\nb", Ok(Some("a\n\n")));
        check("", Ok(None));
        check("a\r\n", Err(ErrorKind::UnexpectedEof));
        check(&"a: b\r\n".repeat(20_000), Err(ErrorKind::InvalidData));
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let check = |text: &str, end: BodyEnd, expected: Result<(&str, &str), ErrorKind>| {
            // A small buffer, so that bodies come in pieces.
            let mut reader = io::BufReader::with_capacity(3, text.as_bytes());
            let mut body = Vec::new();
            let read = read_body(&mut reader, end, &mut |piece| {
                body.extend_from_slice(piece);
                Ok(())
            });
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            let found = read.map(|length| (length, String::from_utf8(body).unwrap(), rest));
            let expected = expected.map(|(body, rest)| (body.len() as u64, body.to_owned(), rest.to_owned()));
            assert_eq!(found.map_err(|error| error.kind()), expected, "{text:?}");
        };
        check("abcdefX", BodyEnd::Length(6), Ok(("abcdef", "X")));
        check("X", BodyEnd::Length(0), Ok(("", "X")));
        check("abc", BodyEnd::Length(4), Err(ErrorKind::UnexpectedEof));
        check("5;a=b\r\nabcde\r\n0\r\nT: x\r\n\r\nX", BodyEnd::LastChunk, Ok(("abcde", "X")));
        check("5\r\nabc", BodyEnd::LastChunk, Err(ErrorKind::UnexpectedEof));
        check("x\r\nabc", BodyEnd::LastChunk, Err(ErrorKind::InvalidData));
        check("to the end", BodyEnd::StreamEnd, Ok(("to the end", "")));
    }

    #[test]
    fn whoever_takes_the_body_may_end_it() {
        let stop = &mut |_: &[u8]| Err(ErrorKind::Other.into());
        let read = read_body(&mut &b"abc"[..], BodyEnd::Length(3), stop);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Other);
    }
}
