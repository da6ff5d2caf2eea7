//! Sends a request and receives the head of the answer; start reading at [`exchange`]. The backend is
//! listened to from the first byte sent, since it may answer early.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use ureq_proto::BodyMode;

use super::answer_head::{self, AnswerHead, Parsed};
use super::connection::Connection;
use super::framing::{self, Framing};
use super::idle::ConnectionPool;
use super::reply_body::Incoming;
use super::upload::{Broken, Step, Upload};
use super::{
    AttemptError, BackendReply, Cause, MAX_REPLY_FIELDS, MAX_REPLY_HEAD_BYTES, Outgoing, ReplyLength, Stage,
};
use crate::http::{BodyLength, Headers};
use crate::readiness::is_moment;

/// Most interim answers to one request; a backend that sends more would go on for ever.
const MAX_INTERIM: u32 = 32;

/// Sends the request and waits for the answer's head.
///
/// # Errors
/// How far the attempt got and why it failed.
pub fn exchange(link: &Arc<ConnectionPool>, mut request: Outgoing<'_>) -> Result<BackendReply, AttemptError> {
    let deadline = Instant::now() + request.limits.request;
    let connection = Connection::to(link, &request).map_err(|error| AttemptError {
        stage: Stage::Connect,
        cause: cause_of(error),
        reused: false,
    })?;
    let (reused, upload) = (connection.is_reused(), Upload::of(request.length));
    let mut exchange = Exchange { connection, upload, is_refused: false, stage: Stage::SendHead, deadline };
    let result = exchange.send_head(&mut request).and_then(|()| exchange.await_head(&mut request));
    match result {
        Ok((head, framing)) => Ok(exchange.into_reply(&request, head, framing)),
        Err(cause) => Err(AttemptError { stage: exchange.stage, cause, reused }),
    }
}

struct Exchange {
    connection: Connection,
    /// The part of the body that is still to be sent.
    upload: Option<Upload>,
    /// The backend takes no more of the body.
    is_refused: bool,
    stage: Stage,
    /// When the answer's head must be complete.
    deadline: Instant,
}

impl Exchange {
    fn send_head(&mut self, request: &mut Outgoing<'_>) -> Result<(), Cause> {
        let mut bytes = write_head(request);
        if let Some(upload) = &mut self.upload {
            bytes = upload.head_start(bytes, request.client).map_err(broken)?;
        }
        self.connection.write_all(&bytes).map_err(cause_of)?;
        self.stage = if self.upload.is_some() { Stage::SendBody } else { Stage::AwaitHead };
        Ok(())
    }

    fn await_head(&mut self, request: &mut Outgoing<'_>) -> Result<(AnswerHead, Framing), Cause> {
        for _ in 0..=MAX_INTERIM {
            let head = self.next_head(request)?;
            match head.status {
                101 if request.upgrade && self.upload.is_none() => {
                    return Ok((head, Framing { mode: BodyMode::NoBody, keeps: false }));
                }
                // No upgrade was requested, and the client would wait for another protocol after this answer.
                101 => return Err(Cause::NotHttp("101 without an upgrade".to_owned())),
                // Confirms an expectation, but we sent none (RFC 9110 section 10.1.1).
                100 => {}
                102..=199 => request.client.interim(head.status, &head.headers),
                _ => {
                    let framing = framing::of(request.method, &head).map_err(Cause::NotHttp)?;
                    return Ok((head, framing));
                }
            }
        }
        Err(Cause::NotHttp("interim answers without end".to_owned()))
    }

    fn next_head(&mut self, request: &mut Outgoing<'_>) -> Result<AnswerHead, Cause> {
        loop {
            if !self.connection.input.is_empty() {
                match answer_head::parse(self.connection.input.bytes()) {
                    Parsed::Whole(head, length) => {
                        self.connection.input.consume(length);
                        return Ok(head);
                    }
                    Parsed::Partial if self.connection.input.is_full() => {
                        return Err(Cause::Unacceptable(format!("a head over {MAX_REPLY_HEAD_BYTES} bytes")));
                    }
                    Parsed::Partial => {}
                    Parsed::TooManyFields => {
                        return Err(Cause::Unacceptable(format!("more than {MAX_REPLY_FIELDS} fields")));
                    }
                    Parsed::Malformed(what) => return Err(Cause::NotHttp(what)),
                }
            }
            self.hear_more(request)?;
        }
    }

    /// Waits for more of the answer, and continues the upload meanwhile.
    fn hear_more(&mut self, request: &mut Outgoing<'_>) -> Result<(), Cause> {
        let Some(mut upload) = self.upload.take_if(|_| !self.is_refused) else {
            self.stage = Stage::AwaitHead;
            let left = self.deadline.saturating_duration_since(Instant::now());
            return match self.connection.read_more(left) {
                Ok(0) => Err(Cause::Closed),
                Ok(_) => Ok(()),
                Err(error) => Err(cause_of(error)),
            };
        };
        let step = upload.step(&self.connection, request.client, &request.limits);
        // If the client can't be polled together with the backend, check the backend at each step.
        let asks = request.client.readiness().is_none();
        match step {
            Ok(Step::Over) => {
                self.deadline = Instant::now() + request.limits.request;
                return Ok(());
            }
            Ok(Step::Moved) if !asks => self.upload = Some(upload),
            Ok(_) => {
                self.upload = Some(upload);
                return self.try_hear();
            }
            // The backend may have answered before it closed (with a 413, say).
            Err(Broken::Backend(error)) if is_closed(&error) => {
                self.upload = Some(upload);
                self.is_refused = true;
            }
            Err(fault) => return Err(broken(fault)),
        }
        Ok(())
    }

    fn try_hear(&mut self) -> Result<(), Cause> {
        match self.connection.try_read_more() {
            Ok(0) => Err(Cause::Closed),
            Ok(_) => Ok(()),
            Err(error) if is_moment(&error) => Ok(()),
            Err(error) => Err(cause_of(error)),
        }
    }

    fn into_reply(self, request: &Outgoing<'_>, head: AnswerHead, framing: Framing) -> BackendReply {
        let length = match framing.mode {
            BodyMode::LengthDelimited(length) => ReplyLength::Known(length),
            BodyMode::Chunked | BodyMode::CloseDelimited => ReplyLength::Unknown,
            BodyMode::NoBody => announced_length(&head.headers),
        };
        let keeps = framing.keeps && may_serve_others(request, &head);
        if let Some(value) = head.headers.get("keep-alive") {
            self.connection.announces(value);
        }
        let AnswerHead { status, reason, headers, .. } = head;
        if status == 101 {
            let tunnel = Some(self.connection.into_tunnel());
            let body = Box::new(Incoming::none());
            return BackendReply { status, reason, headers, length, body, body_is_here: true, tunnel };
        }
        let body_is_here = !self.connection.input.is_empty() || framing.mode == BodyMode::NoBody;
        let upload = self.upload.filter(|_| !self.is_refused);
        let keeps = keeps && !self.is_refused;
        let body = Incoming::new(self.connection, Framing { keeps, ..framing }, upload, request.limits);
        BackendReply { status, reason, headers, length, body: Box::new(body), body_is_here, tunnel: None }
    }
}

/// The length that an answer without a body announces, as for a GET.
fn announced_length(headers: &Headers) -> ReplyLength {
    let length =
        headers.get("content-length").and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    length.map_or(ReplyLength::Unknown, ReplyLength::Known)
}

/// Whether the connection may carry another client's request.
///
/// A backend that authenticates the connection itself (NTLM, Negotiate: RFC 4559) would take the next client
/// for this one. A backend that refuses a body before reading it, or sends `Content-Encoding` in an answer to
/// HEAD, often closes the connection without announcing it.
fn may_serve_others(request: &Outgoing<'_>, head: &AnswerHead) -> bool {
    let is_of_connection = |value: &[u8]| {
        let scheme = value.split(|byte| *byte == b' ' || *byte == b',').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"NTLM") || scheme.eq_ignore_ascii_case(b"Negotiate")
    };
    let authenticates = head.headers.get_all("www-authenticate").any(is_of_connection)
        || request.headers.get_all("authorization").any(is_of_connection);
    let has_body = !matches!(request.length, BodyLength::None | BodyLength::Known(0));
    let refuses = has_body && head.status >= 400;
    let encodes_head = request.method == "HEAD" && head.headers.get("content-encoding").is_some();
    !authenticates && !refuses && !encodes_head
}

fn write_head(request: &Outgoing<'_>) -> Vec<u8> {
    let mut head = Vec::with_capacity(request.headers.byte_len() + request.target.len() + 64);
    head.extend_from_slice(request.method.as_bytes());
    head.push(b' ');
    head.extend_from_slice(request.target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers.iter() {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    match request.length {
        // Without this field, some backends wait for a body that never comes (RFC 9110 section 8.6).
        BodyLength::None if matches!(request.method, "POST" | "PUT" | "PATCH") => {
            head.extend_from_slice(b"Content-Length: 0\r\n");
        }
        BodyLength::None => {}
        BodyLength::Known(length) => {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        BodyLength::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn broken(fault: Broken) -> Cause {
    match fault {
        Broken::Client => Cause::Client,
        Broken::Backend(error) => cause_of(error),
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

fn cause_of(error: io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::NotFound => Cause::Unresolved,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Cause::TimedOut,
        io::ErrorKind::UnexpectedEof => Cause::Closed,
        _ if is_closed(&error) => Cause::Closed,
        _ => Cause::Other(error.to_string()),
    }
}
