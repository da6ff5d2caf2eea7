//! Reads requests from a socket, for test backends: the echo backend and those of the drill.

use std::io::{self, BufRead, BufReader, Read};

/// Limit for a head.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Limit for the number of fields.
const MAX_FIELDS: usize = 256;

/// A request's head.
pub struct Request {
    /// The method as sent.
    pub method: String,
    /// The target as sent.
    pub target: String,
    /// The fields in order, with lower-case names.
    pub headers: Vec<(String, Vec<u8>)>,
    minor: u8,
}

/// Reads the next head; `None` if the client closes the connection before it.
///
/// # Errors
/// Errors of the connection, or a head that is malformed, incomplete or too long.
pub fn read_head(reader: &mut BufReader<impl Read>) -> io::Result<Option<Request>> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        let left = (MAX_HEAD_BYTES - head.len()) as u64;
        if reader.by_ref().take(left).read_until(b'\n', &mut head)? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
    parse(&head).map(Some)
}

fn parse(head: &[u8]) -> io::Result<Request> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let malformed = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    parsed.parse(head).map_err(|error| malformed(error.to_string()))?;
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(malformed("an incomplete head".into()));
    };
    let headers = parsed.headers.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()));
    Ok(Request { method: method.into(), target: target.into(), headers: headers.collect(), minor })
}

/// Reads the body to its end; returns its length without chunk framing.
///
/// # Errors
/// Errors of the connection, or a body that is incomplete or malformed.
pub fn skip_body(reader: &mut BufReader<impl Read>, request: &Request) -> io::Result<u64> {
    if !request.is_chunked() {
        let length = request.content_length()?;
        let read = io::copy(&mut reader.take(length), &mut io::sink())?;
        return if read == length { Ok(read) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
    }
    let mut total = 0;
    loop {
        let mut line = String::new();
        reader.by_ref().take(1024).read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        io::copy(&mut reader.take(size), &mut io::sink())?;
        total += size;
        // The line end after a chunk, or the trailers after the last chunk.
        let mut end = String::new();
        while reader.by_ref().take(8192).read_line(&mut end)? > 2 {
            end.clear();
        }
        if size == 0 {
            return Ok(total);
        }
    }
}

impl Request {
    /// The target without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("")
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.has("expect", "100-continue")
    }

    /// Whether the body is chunked.
    pub fn is_chunked(&self) -> bool {
        self.has("transfer-encoding", "chunked")
    }

    /// The body's length in bytes if it is not chunked.
    ///
    /// # Errors
    /// It is not a number.
    pub fn content_length(&self) -> io::Result<u64> {
        let Some(value) = self.value("content-length") else { return Ok(0) };
        String::from_utf8_lossy(value).trim().parse().map_err(io::Error::other)
    }

    /// Whether the connection stays open after the answer.
    pub fn keep_alive(&self) -> bool {
        if self.minor == 0 { self.has("connection", "keep-alive") } else { !self.has("connection", "close") }
    }

    /// The `Connection` field of the answer, if it needs one: an HTTP/1.0 client must be told that the
    /// connection stays open.
    pub fn connection_field(&self) -> &'static str {
        match (self.keep_alive(), self.minor) {
            (true, 0) => "Connection: keep-alive\r\n",
            (true, _) => "",
            (false, _) => "Connection: close\r\n",
        }
    }

    /// The first value of the field with this lower-case name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    fn has(&self, name: &str, word: &str) -> bool {
        self.value(name)
            .is_some_and(|value| value.to_ascii_lowercase().windows(word.len()).any(|w| w == word.as_bytes()))
    }
}
