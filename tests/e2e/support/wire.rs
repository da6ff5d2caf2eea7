//! HTTP/1.1 messages read byte by byte, for both ends of a test. Strict on purpose: what is not whole
//! is an error.

use std::io::{self, BufRead, ErrorKind, Read};

/// A start line and its fields, as they came.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The first line.
    pub start: String,
    /// The fields in order, names as sent.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// A request's method.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// A request's target.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// All values of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The fields' names, lower-cased and sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.headers.iter().map(|(n, _)| n.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    /// Whether the body is chunked.
    pub fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    /// The body's length, where the head says it.
    pub fn content_length(&self) -> Option<usize> {
        self.header("content-length").map(|value| value.parse().expect("a length is a number"))
    }
}

/// The next head; what was read goes to `raw`. `None` where the other side has closed before it.
pub fn read_head(reader: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Option<Head>> {
    let mut head = Head::default();
    loop {
        let line = read_line(reader, raw)?;
        match line.as_deref() {
            None if raw.is_empty() => return Ok(None),
            None => return Err(ErrorKind::UnexpectedEof.into()),
            Some("") => return Ok(Some(head)),
            Some(line) if head.start.is_empty() => head.start = line.to_owned(),
            Some(line) => {
                let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
                head.headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}

/// A body of this length.
pub fn read_length(reader: &mut impl BufRead, raw: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    let start = raw.len();
    let read = reader.take(length as u64).read_to_end(raw)?;
    if read == length { Ok(raw[start..].to_vec()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// A chunked body, to the end of its trailers.
pub fn read_chunked(reader: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader, raw)?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
        body.extend(read_length(reader, raw, size)?);
        let mut end = read_line(reader, raw)?.ok_or(ErrorKind::UnexpectedEof)?;
        while size == 0 && end.contains(": ") {
            end = read_line(reader, raw)?.ok_or(ErrorKind::UnexpectedEof)?;
        }
        if !end.is_empty() {
            return Err(ErrorKind::InvalidData.into());
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

/// A line without its CRLF; `None` at the end.
fn read_line(reader: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Option<String>> {
    let start = raw.len();
    if reader.read_until(b'\n', raw)? == 0 {
        return Ok(None);
    }
    let line = raw[start..].strip_suffix(b"\r\n").ok_or(ErrorKind::InvalidData)?;
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}
