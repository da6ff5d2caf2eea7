//! A client that sends bytes and sees bytes.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

use super::patience;
use super::wire::{self, Head};

/// One connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The words after it.
    pub reason: String,
    /// The body, its framing removed.
    pub body: Vec<u8>,
    /// All of it as it came.
    pub raw: Vec<u8>,
    head: Head,
}

impl Client {
    /// A new connection.
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    /// A connection that is open already.
    pub fn from(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(patience())).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).expect("the connection is open");
    }

    /// Sends these bytes to one that may have closed already.
    pub fn send_if_open(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
    }

    /// Sends a request; a body is announced by its length.
    pub fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n");
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        self.send([text.as_bytes(), body].concat());
    }

    /// Exactly so many bytes of what comes next.
    #[track_caller]
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).expect("that much comes");
        bytes
    }

    /// The connection, for more than one thread.
    pub fn stream(&self) -> TcpStream {
        self.reader.get_ref().try_clone().unwrap()
    }

    /// Ends our side only.
    pub fn end_sending(&self) {
        let _ = self.reader.get_ref().shutdown(Shutdown::Write);
    }

    /// A GET on this connection, and its answer.
    pub fn get(&mut self, path: &str) -> Response {
        self.ask("GET", path, &[], b"");
        self.read_response()
    }

    /// The next answer, which has to be whole.
    #[track_caller]
    pub fn read_response(&mut self) -> Response {
        self.read_response_to("GET")
    }

    /// The next answer, to a request with this method.
    #[track_caller]
    pub fn read_response_to(&mut self, method: &str) -> Response {
        self.try_read_response_to(method).expect("a whole answer")
    }

    /// The next answer, if it is whole.
    ///
    /// # Errors
    /// The connection ended before the answer did.
    pub fn try_read_response_to(&mut self, method: &str) -> io::Result<Response> {
        let mut raw = Vec::new();
        let reader = &mut self.reader;
        let head = wire::read_head(reader, &mut raw)?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut words = head.start.splitn(3, ' ').skip(1);
        let status = words.next().and_then(|word| word.parse().ok()).expect("a status");
        let reason = words.next().unwrap_or("").to_owned();
        let body = if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            Vec::new()
        } else if head.is_chunked() {
            wire::read_chunked(reader, &mut raw)?
        } else if let Some(length) = head.content_length() {
            wire::read_length(reader, &mut raw, length)?
        } else {
            let start = raw.len();
            reader.read_to_end(&mut raw)?;
            raw[start..].to_vec()
        };
        Ok(Response { status, reason, body, raw, head })
    }

    /// Reads until this text has come, whatever stands around it.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut byte = [0];
            let read = self.reader.read(&mut byte).expect("something comes");
            assert!(read > 0, "closed before {text:?}: {:?}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
    }

    /// All that comes until the other side closes, or resets.
    #[track_caller]
    pub fn read_to_close(&mut self) -> Vec<u8> {
        self.try_read_to_close().expect("it closes")
    }

    /// All that comes until the other side closes, or resets, if it does.
    ///
    /// # Errors
    /// It has left the connection open.
    pub fn try_read_to_close(&mut self) -> Result<Vec<u8>, &'static str> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err("left open"),
            _ => Ok(bytes),
        }
    }

    /// Whether something comes within this time; it is still to be read then.
    pub fn is_answered_within(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(time)).unwrap();
        let read = self.reader.fill_buf().map(|bytes| !bytes.is_empty());
        self.reader.get_ref().set_read_timeout(Some(patience())).unwrap();
        read.unwrap_or(false)
    }

    /// Whether the other side closes within this time, without a further byte.
    pub fn is_closed_within(&mut self, time: Duration) -> bool {
        self.reader.get_ref().set_read_timeout(Some(time)).unwrap();
        let read = self.reader.read(&mut [0]);
        self.reader.get_ref().set_read_timeout(Some(patience())).unwrap();
        match read {
            Ok(read) => read == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// The fields are asked of the answer itself.
impl Deref for Response {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}
