//! One request on its way through tiny_http: its body goes over in chunks, whatever its framing was, so
//! that tiny_http announces nothing to itself that it would have to allocate; its answer comes back as it
//! is.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::buffer::Buffer;
use super::handed::Handed;
use crate::frontend::stream::Ending;
use crate::http::BodyLength;
use crate::http::chunked::Decoder;

/// Body bytes that may wait to be taken by tiny_http.
const MAX_UPLOAD_BYTES: usize = 64 << 10;
/// The start of an answer that makes the connection a tunnel.
const SWITCHES: &[u8] = b"HTTP/1.1 101";

/// A connection to the tiny_http behind the front.
#[derive(Debug)]
pub(super) struct Bridge {
    pub stream: TcpStream,
    /// What tiny_http knows it by.
    pub address: SocketAddr,
}

/// What of the request's body is still to come.
enum Body {
    Done,
    Length(u64),
    Chunked(Decoder),
    /// A tunnel: all that comes.
    Raw,
}

/// See the module.
pub(super) struct Exchange {
    pub bridge: Bridge,
    pub handed: Arc<Handed>,
    pub upload: Buffer,
    body: Body,
    expects_continue: bool,
    /// Bytes of the answer that have come back.
    pub passed: u64,
    /// What still comes of the body is thrown away.
    pub refuses_body: bool,
    /// tiny_http has closed its side, and all that it had sent was read.
    pub bridge_ended: bool,
    /// Our side was closed, because the client's was.
    told_end: bool,
    /// What the poller was asked for last.
    pub interest: (bool, bool),
}

impl Exchange {
    /// Puts the request's stand-in on its way: what matters of its head is in `handed`.
    pub fn start(bridge: Bridge, handed: Arc<Handed>, expects_continue: bool) -> Exchange {
        let body = match handed.screened {
            Ok(BodyLength::Known(length)) if length > 0 => Body::Length(length),
            Ok(BodyLength::Chunked) => Body::Chunked(Decoder::default()),
            _ => Body::Done,
        };
        let had_body = !matches!(body, Body::Done);
        let mut upload = Buffer::default();
        upload.push(if had_body {
            b"POST / HTTP/1.1\r\nHost: front\r\nTransfer-Encoding: chunked\r\n\r\n"
        } else if handed.upgrade {
            b"GET / HTTP/1.1\r\nHost: front\r\nConnection: upgrade\r\n\r\n"
        } else {
            b"GET / HTTP/1.1\r\nHost: front\r\n\r\n"
        });
        Exchange {
            bridge,
            handed,
            upload,
            body,
            expects_continue,
            passed: 0,
            refuses_body: false,
            bridge_ended: false,
            told_end: false,
            interest: (false, false),
        }
    }

    /// Moves what there is of the body from `input`. `false` where it is no chunked coding: then the
    /// handler sees a body that breaks off.
    pub fn take_body(&mut self, input: &mut Buffer) -> bool {
        while !input.is_empty() && self.upload.len() < MAX_UPLOAD_BYTES {
            let upload = &mut self.upload;
            match &mut self.body {
                Body::Done => break,
                Body::Raw => {
                    upload.push(input.bytes());
                    input.clear();
                }
                Body::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    push_chunk(upload, &input.bytes()[..here]);
                    input.consume(here);
                    *left -= here as u64;
                    if *left == 0 {
                        self.end_body();
                    }
                }
                Body::Chunked(decoder) => {
                    let Ok(taken) = decoder.take(input.bytes(), &mut |data| push_chunk(upload, data)) else {
                        return false;
                    };
                    let is_done = decoder.is_done();
                    input.consume(taken);
                    if is_done {
                        self.end_body();
                    }
                }
            }
        }
        true
    }

    fn end_body(&mut self) {
        self.handed.body_is_whole.store(true, SeqCst);
        self.upload.push(b"0\r\n\r\n");
        self.body = Body::Done;
    }

    /// Whether bytes from the client are wanted.
    pub fn wants_input(&self) -> bool {
        !matches!(self.body, Body::Done)
    }

    /// Whether the client waits for leave to send its body, and may have it now.
    pub fn may_continue(&mut self) -> bool {
        let may = self.expects_continue && self.passed == 0 && self.handed.told().wants_body;
        if may || !matches!(self.body, Body::Length(_) | Body::Chunked(_)) {
            self.expects_continue = false;
        }
        may
    }

    /// How much of this piece is the answer's. What comes behind it is tiny_http's own, who takes what is
    /// left of a body for a request.
    pub fn note_answer(&mut self, piece: &[u8]) -> usize {
        if self.passed == 0 && self.handed.upgrade && piece.starts_with(SWITCHES) {
            self.body = Body::Raw;
        }
        let most = if self.handed.upgrade { u64::MAX } else { self.handed.told().written - self.passed };
        let amount = piece.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.bridge_ended |= amount < piece.len();
        self.passed += amount as u64;
        amount
    }

    /// How the answer has ended, once all of it that will come has come.
    pub fn ending(&self) -> Option<Ending> {
        let told = self.handed.told();
        // Through a tunnel comes more than was told.
        let is_all = !self.handed.upgrade && (self.passed >= told.written || told.gave_up);
        match told.ending {
            Some(ending) if is_all => Some(ending),
            Some(Ending::Reset) if self.bridge_ended => Some(Ending::Reset),
            Some(ending) if self.bridge_ended && self.passed >= told.written => Some(ending),
            _ if self.bridge_ended => Some(Ending::BrokenOff),
            _ => None,
        }
    }

    /// The client will send nothing more: neither will we, once all has gone over.
    pub fn end_upload(&mut self) {
        if !self.told_end && self.upload.is_empty() {
            self.told_end = true;
            // An error means that it has ended already.
            let _ = self.bridge.stream.shutdown(Shutdown::Write);
        }
    }

    /// Whether the bridge is as it was before the request.
    pub fn is_clean(&self) -> bool {
        let is_open = !self.told_end && !self.refuses_body && !self.bridge_ended;
        let is_even = matches!(self.body, Body::Done) && self.upload.is_empty();
        is_open && is_even && self.handed.told().reusable
    }
}

fn push_chunk(upload: &mut Buffer, data: &[u8]) {
    if !data.is_empty() {
        upload.push(format!("{:x}\r\n", data.len()).as_bytes());
        upload.push(data);
        upload.push(b"\r\n");
    }
}
