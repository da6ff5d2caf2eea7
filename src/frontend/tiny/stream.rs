//! The stream of a request that tiny_http has read.
//!
//! A tiny_http 0.12 request must never be dropped unanswered (it would send its own answer), nor with an
//! unread body on an open connection (it would first read the body into a buffer as large as the announced
//! length). So every end goes through [`TinyStream::let_go`].

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::socket::ClientSocket;
use crate::duplex::Duplex;
use crate::frontend::{ClientStream, Ending};
use crate::http::{BodyLength, Headers};
use crate::traffic::Traffic;
use crate::watch::{Wait, Watch};

/// How long to wait for a client that is still sending to notice the answer.
const LINGER: Duration = Duration::from_secs(1);
/// A request with a longer unread body is leaked instead of dropped: tiny_http would allocate a buffer for
/// the whole body. Its connection's thread then waits for ever.
const MAX_THROWN_AWAY: u64 = 64 << 20;

/// Longest announced body. When a body breaks off, tiny_http allocates a buffer for the rest of the announced
/// length; the buffer is never touched, but the system does not promise more than it has memory.
const LONGEST_BODY: u64 = 1 << 30;

/// How the answer is sent.
enum Output {
    /// Not started.
    None,
    /// By tiny_http's writer, which waits for its turn among pipelined requests.
    Library(Box<dyn Write + Send>),
    /// Directly to the socket, since tiny_http's writer would first read the rest of the body.
    Direct(ClientSocket),
    /// Ended.
    Ended,
}

/// What is still to come of the request's body.
enum BodyLeft {
    Nothing,
    /// So many bytes, at least one.
    Length(u64),
    Chunks,
}

/// See the module.
pub(super) struct TinyStream {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    request: Option<tiny_http::Request>,
    peer: SocketAddr,
    output: Output,
    left: BodyLeft,
    /// tiny_http leaves the bytes behind the head undecoded, because the client asked for an upgrade.
    upgrade: bool,
    /// tiny_http reads no further request from this connection and closes it.
    is_last: bool,
}

impl TinyStream {
    pub fn new(
        (shared, watch): (Arc<Shared>, Arc<Watch>),
        request: tiny_http::Request,
        peer: SocketAddr,
        length: BodyLength,
        (upgrade, is_last): (bool, bool),
    ) -> TinyStream {
        let left = match length {
            BodyLength::None | BodyLength::Known(0) => BodyLeft::Nothing,
            BodyLength::Known(length) => BodyLeft::Length(length),
            BodyLength::Chunked => BodyLeft::Chunks,
        };
        let (request, output) = (Some(request), Output::None);
        shared.began();
        TinyStream { shared, watch, request, peer, output, left, upgrade, is_last }
    }

    fn has_whole_body(&self) -> bool {
        matches!(self.left, BodyLeft::Nothing)
    }

    fn socket(&self) -> Option<ClientSocket> {
        ClientSocket::find(self.peer, self.shared.port)
    }

    fn begin_output(&mut self) -> io::Result<()> {
        self.output = if self.has_whole_body() && !self.upgrade {
            let request = self.request.take().ok_or(io::ErrorKind::NotConnected)?;
            Output::Library(request.into_writer())
        } else {
            Output::Direct(self.socket().ok_or(io::ErrorKind::NotConnected)?)
        };
        Ok(())
    }

    fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = match self.left {
            BodyLeft::Nothing => return Ok(0),
            BodyLeft::Length(left) => buf.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
            BodyLeft::Chunks => buf.len(),
        };
        let request = self.request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let waiting = Instant::now();
        let read = request.as_reader().read(&mut buf[..most]);
        self.watch.has_waited(Wait::Client, waiting.elapsed());
        let amount = read?;
        self.shared.traffic.has_received(amount);
        // tiny_http returns 0 instead of an error if the client breaks off, even inside a chunk. So a client
        // that has ended its side by the end of a chunked body counts as one that broke off.
        let has_broken_off = || self.socket().is_none_or(|socket| socket.has_ended());
        self.left = match self.left {
            BodyLeft::Length(left) if amount > 0 && amount as u64 == left => BodyLeft::Nothing,
            BodyLeft::Length(left) if amount > 0 => BodyLeft::Length(left - amount as u64),
            BodyLeft::Chunks if amount > 0 => BodyLeft::Chunks,
            BodyLeft::Chunks if !has_broken_off() => BodyLeft::Nothing,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        Ok(amount)
    }

    /// Drops tiny_http's request without letting it write an answer or read the rest of the body.
    fn let_go(&mut self) {
        let Some(request) = self.request.take() else { return };
        if !self.has_whole_body() {
            self.socket().inspect(|socket| socket.shutdown(Shutdown::Both));
        }
        discard(request);
    }

    fn close(&mut self, ending: Ending) {
        let output = std::mem::replace(&mut self.output, Output::Ended);
        let is_whole = matches!(output, Output::Library(_)) && self.request.is_none();
        // The connection continues, or tiny_http's thread closes it.
        if is_whole && (ending == Ending::KeepAlive || (ending == Ending::Close && self.is_last)) {
            return;
        }
        // Everything written is flushed already, so the writer is dropped after the socket is shut: at its
        // turn, tiny_http would answer input behind this request that it could not parse.
        let (writer, socket) = match output {
            Output::Direct(socket) => (None, Some(socket)),
            Output::Library(writer) => (Some(writer), self.socket()),
            Output::None | Output::Ended => (None, self.socket()),
        };
        if let Some(socket) = socket {
            self.shared.doom(self.peer, socket.cookie());
            if ending == Ending::Reset {
                socket.reset();
            } else if !self.has_whole_body() {
                socket.shutdown(Shutdown::Write);
                socket.linger(LINGER);
            }
            socket.shutdown(Shutdown::Both);
        }
        drop(writer);
        self.let_go();
    }
}

/// Drops a request; tiny_http writes nothing once the writer has been taken. If part of the body is unread,
/// the connection must be shut already.
pub(super) fn discard(request: tiny_http::Request) {
    if request.body_length().is_some_and(|length| length as u64 > MAX_THROWN_AWAY) {
        std::mem::forget(request);
    } else {
        drop(request.into_writer());
    }
}

impl ClientStream for TinyStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() { Ok(0) } else { self.read_body(buf) }
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(buf)
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn give_up(&mut self) {}

    fn trailers(&mut self) -> Headers {
        Headers::default()
    }

    fn body_is_pending(&self) -> bool {
        !self.has_whole_body()
    }

    fn longest_body(&self) -> u64 {
        LONGEST_BODY
    }

    fn can_keep_alive(&self) -> bool {
        !self.upgrade && self.shared.keeps_alive()
    }

    fn can_tunnel(&self) -> bool {
        self.upgrade && self.has_whole_body()
    }

    fn tunnel(&mut self) -> io::Result<Box<dyn Duplex>> {
        let Output::Direct(socket) = std::mem::replace(&mut self.output, Output::Ended) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let request = self.request.take().ok_or(io::ErrorKind::NotConnected)?;
        socket.never_wait()?;
        let traffic = Arc::clone(&self.shared.traffic);
        Ok(Box::new(TinyTunnel { request: Some(request), socket, traffic }))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.output, Output::None) {
            self.begin_output()?;
        }
        let waiting = Instant::now();
        let written = match &mut self.output {
            Output::Library(writer) => writer.write_all(bytes).and_then(|()| writer.flush()),
            Output::Direct(socket) => socket.write_all(bytes),
            Output::None | Output::Ended => Err(io::ErrorKind::NotConnected.into()),
        };
        self.watch.has_waited(Wait::Client, waiting.elapsed());
        written?;
        self.shared.traffic.has_sent(bytes.len());
        Ok(())
    }

    fn finish(&mut self, rest: &[u8], ending: Ending) -> io::Result<()> {
        let sent = self.write(rest);
        self.end(if sent.is_ok() { ending } else { Ending::BrokenOff });
        sent
    }

    fn waits_for_client(&self) -> bool {
        true
    }

    fn end(&mut self, ending: Ending) {
        if !matches!(self.output, Output::Ended) {
            self.close(ending);
        }
    }
}

impl Drop for TinyStream {
    fn drop(&mut self) {
        self.end(Ending::BrokenOff);
        self.shared.ended();
    }
}

/// A connection that tiny_http has handed over after a request for an upgrade.
struct TinyTunnel {
    request: Option<tiny_http::Request>,
    socket: ClientSocket,
    traffic: Arc<Traffic>,
}

impl Duplex for TinyTunnel {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let amount = self.request.as_mut().map_or(Ok(0), |request| request.as_reader().read(buf))?;
        self.traffic.has_received(amount);
        Ok(amount)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let amount = if bytes.is_empty() { 0 } else { self.socket.write_now(bytes)? };
        self.traffic.has_sent(amount);
        Ok(amount)
    }

    fn has_unsent(&self) -> bool {
        false
    }

    fn end_sending(&mut self) {
        self.socket.shutdown(Shutdown::Write);
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for TinyTunnel {
    fn drop(&mut self) {
        self.socket.shutdown(Shutdown::Both);
        if let Some(request) = self.request.take() {
            discard(request);
        }
    }
}
