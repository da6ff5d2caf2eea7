//! Reads an HTTP answer directly from a connection, for the drill's clients, `check --probe` and `health`.
//! They need to see what an HTTP library hides: whether an answer was broken off, and how long a connection
//! stays open afterwards.

use std::io::{self, BufRead, ErrorKind, Read};

use crate::http::chunked::Decoder;

/// Limit for an answer's head.
const MAX_HEAD_BYTES: u64 = 64 << 10;
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
    fields: Vec<(String, String)>,
}

impl Whole {
    /// The first value of the field with this lower-case name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the answer to a GET, a PUT or a POST.
///
/// # Errors
/// Errors of the connection; `UnexpectedEof` if it ends before the answer does, `InvalidData` if the answer
/// is not HTTP or exceeds the limits.
pub fn read_answer(reader: &mut impl BufRead) -> io::Result<Whole> {
    loop {
        let mut answer = read_head(reader)?;
        match answer.status {
            // Interim answers before the final one.
            100..=199 => continue,
            204 | 304 => {}
            _ => read_body(reader, &mut answer)?,
        }
        return Ok(answer);
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Whole> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        let left = MAX_HEAD_BYTES.saturating_sub(head.len() as u64);
        if reader.by_ref().take(left).read_until(b'\n', &mut head)? == 0 {
            return Err(if left == 0 {
                not_http("a head without end")
            } else {
                ErrorKind::UnexpectedEof.into()
            });
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let (version, rest) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let status = rest.get(..3).and_then(|digits| digits.parse().ok());
    let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
        return Err(not_http("no status line"));
    };
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Whole { status, body: Vec::new(), keeps: false, fields };
    let says = |word: &str| answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case(word));
    answer.keeps = if version == "HTTP/1.0" { says("keep-alive") } else { !says("close") };
    Ok(answer)
}

fn read_body(reader: &mut impl BufRead, answer: &mut Whole) -> io::Result<()> {
    if answer.field("transfer-encoding").is_some() {
        return read_chunked(reader, &mut answer.body);
    }
    let Some(length) = answer.field("content-length") else {
        answer.keeps = false;
        reader.take(MAX_BODY_BYTES).read_to_end(&mut answer.body)?;
        return Ok(());
    };
    let length: u64 = length.parse().map_err(|_| not_http("a length that is no number"))?;
    if length > MAX_BODY_BYTES {
        return Err(not_http("a body of more than 1 MiB"));
    }
    reader.take(length).read_to_end(&mut answer.body)?;
    if answer.body.len() as u64 == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn read_chunked(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    let mut decoder = Decoder::default();
    while !decoder.is_done() {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let taken = decoder.take(bytes, &mut |data: &[u8]| body.extend_from_slice(data));
        reader.consume(taken.map_err(|_| not_http("malformed chunks"))?);
        if body.len() as u64 > MAX_BODY_BYTES {
            return Err(not_http("a body of more than 1 MiB"));
        }
    }
    Ok(())
}

fn not_http(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not an HTTP answer ({what})"))
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
