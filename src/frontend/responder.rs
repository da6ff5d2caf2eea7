//! Writes answers: the head, the body in the right framing for the client, and the end of the connection.
//!
//! The head and the first piece of body go out in one write. Every write is sent at once, so that the events
//! of an event stream are not held back.

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
    /// No body; a `Content-Length` in the headers stays (an answer to HEAD, a 304).
    NoBody,
    /// Exactly this many bytes.
    Length(u64),
    /// Unknown in advance: chunked, or until the connection ends for an HTTP/1.0 client.
    Unknown,
}

/// The framing on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFraming {
    NoBody,
    Length { left: u64 },
    Chunked,
    UntilClose,
}

/// Writes the answer to one request.
pub struct Responder {
    stream: Box<dyn ClientStream>,
    version: Version,
    to_head: bool,
    keep_alive: bool,
    body_framing: Option<BodyFraming>,
    pending: Vec<u8>,
    sent_bytes: u64,
    /// The worker's slot, told when the answer is about to end.
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

    /// Sets the worker's slot to tell when the answer is about to end.
    pub(super) fn tells(&mut self, place: Arc<dyn WorkerHandle>) {
        self.place = Some(place);
    }

    /// Whether an answer has started; then no other can be sent.
    pub fn has_started(&self) -> bool {
        self.body_framing.is_some()
    }

    /// Bytes of body so far, without framing.
    pub fn body_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Ends the connection after this answer.
    pub fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// Starts the answer. `headers` contains no framing or connection fields (except for
    /// [`Framing::NoBody`]). Nothing is sent before [`Responder::flush`] or the first piece of body.
    pub fn start(&mut self, code: u16, headers: &Headers, framing: Framing) {
        self.start_as(code, status::reason(code), headers, framing);
    }

    /// Like [`Responder::start`], with this reason phrase.
    pub fn start_as(&mut self, code: u16, reason: &str, headers: &Headers, framing: Framing) {
        let body_framing = self.framing_for(code, framing);
        // An unread body precedes the next request, and nobody will read it. Or a drain has begun since the
        // request arrived.
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
        // Not in interim answers.
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

    /// Writes a piece of body, after the head if that is still unsent.
    ///
    /// # Errors
    /// The client is gone or too slow, or the body exceeds the announced length.
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
            // Sent by `finish`, which does not wait for the client on a front's connection.
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

    /// Whether the connection can become a tunnel.
    pub fn can_tunnel(&self) -> bool {
        self.stream.can_tunnel()
    }

    /// Answers 101 with these fields, which must include `Connection` and `Upgrade`, and turns the connection
    /// into a tunnel.
    ///
    /// # Errors
    /// The connection can't become a tunnel, or the client is gone.
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

    /// Counts bytes of a tunnel.
    pub fn add_bytes(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
    }

    /// Sends what is buffered.
    ///
    /// # Errors
    /// The client is gone or too slow.
    pub fn flush(&mut self) -> io::Result<()> {
        let result = if self.pending.is_empty() { Ok(()) } else { self.stream.write(&self.pending) };
        self.pending.clear();
        result
    }

    /// Ends a complete answer.
    ///
    /// # Errors
    /// The client is gone or too slow; or the body is shorter than announced, in which case the connection is
    /// broken off.
    pub fn finish(&mut self) -> io::Result<()> {
        self.finish_with(&Headers::default())
    }

    /// Like [`Responder::finish`], with these trailer fields if the framing allows them.
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

    /// The longest `Content-Length` the listener accepts, in bytes; the configured limit applies besides.
    pub fn longest_body(&self) -> u64 {
        self.stream.longest_body()
    }

    /// Whether ending the answer may wait for the client.
    pub fn waits_for_client(&self) -> bool {
        self.stream.waits_for_client()
    }

    /// Sends no answer and resets the connection, which never waits.
    pub fn abandon(&mut self) {
        self.stream.end(Ending::Reset);
    }

    /// Ends an incomplete answer so that the client notices: closes the connection in the middle, or resets
    /// it if a close would look like the answer's end.
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
        // RFC 9110 section 15.2: never sent to an HTTP/1.0 client.
        if self.version == Version::Http11 && self.body_framing.is_none() {
            let mut head = Vec::with_capacity(headers.byte_len() + 64);
            let _ = write!(head, "HTTP/1.1 {code} {}\r\n", status::reason(code));
            push_fields(&mut head, headers);
            head.extend_from_slice(b"\r\n");
            // If the client is gone, writing the final answer will fail.
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
