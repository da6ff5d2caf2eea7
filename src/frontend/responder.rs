//! Writes answers: the head, the body's framing for this client, and how the connection ends.
//!
//! Head and first piece of body go out in one write. What is written is flushed at once, so that an
//! event stream's events are not held back.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::client_stream::{ClientStream, Ending};
use super::date;
use crate::client_side::ClientSide;
use crate::duplex::Duplex;
use crate::http::{Headers, Version, status};
use crate::watch::WorkerHandle;

/// How an answer's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none; a `Content-Length` in the headers stays (an answer to HEAD, a 304).
    NoBody,
    /// Exactly that many bytes.
    Length(u64),
    /// As many as come: chunked, or up to the connection's end for an HTTP/1.0 client.
    Unknown,
}

/// How the body is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFraming {
    NoBody,
    Length { left: u64 },
    Chunked,
    UntilClose,
}

/// Writes the one answer of a request.
pub struct Responder {
    stream: Box<dyn ClientStream>,
    version: Version,
    to_head: bool,
    keep_alive: bool,
    body_framing: Option<BodyFraming>,
    pending: Vec<u8>,
    sent_bytes: u64,
    /// Told when the answer is about to end.
    place: Option<Arc<dyn WorkerHandle>>,
}

impl Responder {
    pub(super) fn new(
        stream: Box<dyn ClientStream>,
        version: Version,
        to_head: bool,
        keep_alive: bool,
    ) -> Responder {
        let (body_framing, pending, sent_bytes, place) = (None, Vec::new(), 0, None);
        Responder { stream, version, to_head, keep_alive, body_framing, pending, sent_bytes, place }
    }

    /// The worker at this place hears when the answer is about to end.
    pub(super) fn tells(&mut self, place: Arc<dyn WorkerHandle>) {
        self.place = Some(place);
    }

    /// Whether an answer has begun: then it is too late for another one.
    pub fn has_started(&self) -> bool {
        self.body_framing.is_some()
    }

    /// Bytes of body written so far, without framing.
    pub fn body_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// The connection ends after this answer.
    pub fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// Begins the answer. `headers` has neither framing nor connection fields (but for
    /// [`Framing::NoBody`]); nothing is sent before [`Responder::flush`] or the first piece of body.
    pub fn start(&mut self, code: u16, headers: &Headers, framing: Framing) {
        self.start_as(code, status::reason(code), headers, framing);
    }

    /// The same with these words for the status.
    pub fn start_as(&mut self, code: u16, reason: &str, headers: &Headers, framing: Framing) {
        let body_framing = self.framing_for(code, framing);
        // A body that was not read stands before the next request, and nobody will read it. A drain
        // may have begun since the request came in.
        if self.stream.body_is_pending()
            || !self.stream.can_keep_alive()
            || body_framing == BodyFraming::UntilClose
        {
            self.keep_alive = false;
        }
        self.write_head((code, reason), headers, framing, body_framing);
        self.body_framing = Some(body_framing);
    }

    fn framing_for(&self, code: u16, framing: Framing) -> BodyFraming {
        match framing {
            _ if self.to_head || status::has_no_body("", code) => BodyFraming::NoBody,
            Framing::NoBody => BodyFraming::NoBody,
            Framing::Length(left) => BodyFraming::Length { left },
            Framing::Unknown if self.version == Version::Http10 => BodyFraming::UntilClose,
            Framing::Unknown => BodyFraming::Chunked,
        }
    }

    fn write_head(
        &mut self,
        (code, reason): (u16, &str),
        headers: &Headers,
        framing: Framing,
        body_framing: BodyFraming,
    ) {
        let head = &mut self.pending;
        head.reserve(headers.byte_len() + 128);
        // Writing to a Vec can't fail.
        let _ = write!(head, "HTTP/1.1 {code} {reason}\r\n");
        push_fields(head, headers);
        // An interim answer needs none.
        if code >= 200 && headers.get("date").is_none() {
            head.extend_from_slice(b"Date: ");
            head.extend_from_slice(&date::now());
            head.extend_from_slice(b"\r\n");
        }
        match (framing, body_framing) {
            (Framing::Length(length), _) => {
                let _ = write!(head, "Content-Length: {length}\r\n");
            }
            (_, BodyFraming::Chunked) => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            _ => {}
        }
        match (self.keep_alive, self.version) {
            (false, _) => head.extend_from_slice(b"Connection: close\r\n"),
            (true, Version::Http10) => head.extend_from_slice(b"Connection: keep-alive\r\n"),
            (true, Version::Http11) => {}
        }
        head.extend_from_slice(b"\r\n");
    }

    /// Writes a piece of body, with the head before it if that is still to go.
    ///
    /// # Errors
    /// The client is gone or too slow, or the piece is longer than the answer was announced.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.body_framing {
            Some(BodyFraming::Length { left }) => {
                let rest = left.checked_sub(piece.len() as u64);
                *left = rest.ok_or_else(|| io::Error::other("body longer than its length"))?;
            }
            Some(BodyFraming::NoBody) | None => return Ok(()),
            _ => {}
        }
        self.sent_bytes += piece.len() as u64;
        if self.body_framing == Some(BodyFraming::Length { left: 0 }) {
            // The last of it goes with the end, for which nobody need wait.
            self.pending.extend_from_slice(piece);
            Ok(())
        } else if self.body_framing == Some(BodyFraming::Chunked) {
            let _ = write!(self.pending, "{:x}\r\n", piece.len());
            self.pending.extend_from_slice(piece);
            self.pending.extend_from_slice(b"\r\n");
            self.flush()
        } else if self.pending.is_empty() {
            self.stream.write(piece)
        } else {
            self.pending.extend_from_slice(piece);
            self.flush()
        }
    }

    /// Whether the connection can be made a tunnel.
    pub fn can_tunnel(&self) -> bool {
        self.stream.can_tunnel()
    }

    /// Answers 101 with these fields, which have `Connection` and `Upgrade` among them, and gives the
    /// connection away as a tunnel.
    ///
    /// # Errors
    /// It can't be one, or the client is gone.
    pub fn start_tunnel(&mut self, headers: &Headers) -> io::Result<Box<dyn Duplex>> {
        if !self.stream.can_tunnel() || self.stream.body_is_pending() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.keep_alive = true; // no `Connection: close` of our own in this head
        self.write_head((101, status::reason(101)), headers, Framing::NoBody, BodyFraming::NoBody);
        self.body_framing = Some(BodyFraming::NoBody);
        self.keep_alive = false;
        self.flush()?;
        self.stream.tunnel()
    }

    /// Counts bytes that went through a tunnel.
    pub fn add_bytes(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
    }

    /// Sends what is still to go.
    ///
    /// # Errors
    /// The client is gone or too slow.
    pub fn flush(&mut self) -> io::Result<()> {
        let result = if self.pending.is_empty() { Ok(()) } else { self.stream.write(&self.pending) };
        self.pending.clear();
        result
    }

    /// Ends a whole answer.
    ///
    /// # Errors
    /// The client is gone or too slow; or the body is shorter than announced, and the connection was
    /// closed for that.
    pub fn finish(&mut self) -> io::Result<()> {
        self.finish_with(&Headers::default())
    }

    /// The same with these fields behind the body, where they can be.
    ///
    /// # Errors
    /// As [`Responder::finish`].
    pub fn finish_with(&mut self, trailers: &Headers) -> io::Result<()> {
        match self.body_framing {
            Some(BodyFraming::Length { left: 1.. }) => {
                self.break_off();
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Some(BodyFraming::Chunked) => {
                self.pending.extend_from_slice(b"0\r\n");
                push_fields(&mut self.pending, trailers);
                self.pending.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        let ending = if self.keep_alive { Ending::KeepAlive } else { Ending::Close };
        let rest = std::mem::take(&mut self.pending);
        if let Some(place) = &self.place {
            place.finishing();
        }
        self.stream.finish(&rest, ending)
    }

    /// The longest request body that may be announced, in bytes; besides what the configuration says.
    pub fn longest_body(&self) -> u64 {
        self.stream.longest_body()
    }

    /// Whether ending the answer may have to wait for the client.
    pub fn waits_for_client(&self) -> bool {
        self.stream.waits_for_client()
    }

    /// Gives no answer: the connection is reset, which waits for nobody.
    pub fn abandon(&mut self) {
        self.stream.end(Ending::Reset);
    }

    /// Ends an answer that can't be whole any more, so that the client sees it: its connection is
    /// closed in the middle, or reset where a close would look like the answer's end.
    pub fn break_off(&mut self) {
        let _ = self.flush();
        let ending = if self.body_framing == Some(BodyFraming::UntilClose) {
            Ending::Reset
        } else {
            Ending::BrokenOff
        };
        self.stream.end(ending);
    }
}

impl ClientSide for Responder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buf)
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.stream.readiness()
    }

    fn give_up(&mut self) {
        self.stream.give_up();
    }

    fn trailers(&mut self) -> Headers {
        self.stream.trailers()
    }

    fn interim(&mut self, code: u16, headers: &Headers) {
        // RFC 9110 section 15.2: never to a client of HTTP/1.0.
        if self.version == Version::Http11 && self.body_framing.is_none() {
            let mut head = Vec::with_capacity(headers.byte_len() + 64);
            let _ = write!(head, "HTTP/1.1 {code} {}\r\n", status::reason(code));
            push_fields(&mut head, headers);
            head.extend_from_slice(b"\r\n");
            // Whether the client is gone is found out with the answer itself.
            let _ = self.stream.write(&head);
        }
    }
}

fn push_fields(head: &mut Vec<u8>, headers: &Headers) {
    for (name, value) in headers.iter() {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
#[path = "responder/tests.rs"]
mod tests;
