//! The stream of one request that tiny_http has read.
//!
//! tiny_http 0.12 must never see its request dropped unanswered (it would send an answer of its own),
//! nor an unread body dropped on a living connection (it would read it to its end first, into memory
//! as large as the announced length); so every end goes through [`TinyStream::let_go`].

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

/// How long a client that is still sending gets to take notice of an answer.
const LINGER: Duration = Duration::from_secs(1);
/// A longer body is not given to tiny_http to throw away: it would make room for all of it. Its connection's
/// thread waits for it for ever instead.
const MAX_THROWN_AWAY: u64 = 64 << 20;

/// tiny_http makes room for all that is left of a body as soon as it breaks off. That room is never touched,
/// but the system does not promise more of it than there is memory.
const LONGEST_BODY: u64 = 1 << 30;

/// Where the answer goes.
enum Output {
    /// Not begun.
    None,
    /// Through tiny_http, whose writer waits for its turn.
    Library(Box<dyn Write + Send>),
    /// Straight to the socket, because tiny_http would first read the body that nobody wants.
    Direct(ClientSocket),
    /// Ended.
    Ended,
}

/// See the module.
pub(super) struct TinyStream {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    request: Option<tiny_http::Request>,
    peer: SocketAddr,
    output: Output,
    /// Body bytes still to come; `None` for chunked.
    body_left: Option<u64>,
    body_done: bool,
    /// tiny_http has left the byte stream raw, because the client asked for an upgrade.
    upgrade: bool,
    /// tiny_http reads no further request from this connection, and closes it by itself.
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
        let (body_left, body_done) = match length {
            BodyLength::None | BodyLength::Known(0) => (Some(0), true),
            BodyLength::Known(length) => (Some(length), false),
            BodyLength::Chunked => (None, false),
        };
        let (request, output) = (Some(request), Output::None);
        shared.began();
        TinyStream { shared, watch, request, peer, output, body_left, body_done, upgrade, is_last }
    }

    fn socket(&self) -> Option<ClientSocket> {
        ClientSocket::find(self.peer, self.shared.port)
    }

    fn begin_output(&mut self) -> io::Result<()> {
        self.output = if self.body_done && !self.upgrade {
            let request = self.request.take().ok_or(io::ErrorKind::NotConnected)?;
            Output::Library(request.into_writer())
        } else {
            Output::Direct(self.socket().ok_or(io::ErrorKind::NotConnected)?)
        };
        Ok(())
    }

    fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let request = self.request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let most = match self.body_left {
            Some(left) => buf.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
            None => buf.len(),
        };
        let waiting = Instant::now();
        let read = request.as_reader().read(&mut buf[..most]);
        self.watch.has_waited(Wait::Client, waiting.elapsed());
        let amount = read?;
        self.shared.traffic.has_received(amount);
        // tiny_http says 0 and no error when the client breaks off. Its decoder says so of a body that is cut
        // inside a chunk, too: a client that has ended its side after a chunked body is taken for one that
        // broke off.
        let has_broken_off = || self.socket().is_none_or(|socket| socket.has_ended());
        if amount == 0 && (self.body_left.is_some() || has_broken_off()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.body_left = self.body_left.map(|left| left - amount as u64);
        self.body_done = self.body_left.map_or(amount == 0, |left| left == 0);
        Ok(amount)
    }

    /// Gives tiny_http's request back without it writing anything, or reading what was not read.
    fn let_go(&mut self) {
        let Some(request) = self.request.take() else { return };
        if !self.body_done {
            self.socket().inspect(|socket| socket.shutdown(Shutdown::Both));
        }
        discard(request);
    }

    fn close(&mut self, ending: Ending) {
        let output = std::mem::replace(&mut self.output, Output::Ended);
        let is_whole = matches!(output, Output::Library(_)) && self.request.is_none();
        // A connection that goes on, or that tiny_http's own thread ends with our hold on it.
        if is_whole && (ending == Ending::KeepAlive || (ending == Ending::Close && self.is_last)) {
            return;
        }
        // All was flushed when it was written, so the writer goes after the socket is shut: by its turn
        // tiny_http would answer what it could not read behind this request.
        let (writer, socket) = match output {
            Output::Direct(socket) => (None, Some(socket)),
            Output::Library(writer) => (Some(writer), self.socket()),
            Output::None | Output::Ended => (None, self.socket()),
        };
        if let Some(socket) = socket {
            self.shared.doom(self.peer, socket.cookie());
            if ending == Ending::Reset {
                socket.reset();
            } else if !self.body_done {
                socket.shutdown(Shutdown::Write);
                socket.linger(LINGER);
            }
            socket.shutdown(Shutdown::Both);
        }
        drop(writer);
        self.let_go();
    }
}

/// Throws a request away; tiny_http writes nothing for one whose writer was taken. Its connection must be shut
/// already where some of its body was not read.
pub(super) fn discard(request: tiny_http::Request) {
    if request.body_length().is_some_and(|length| length as u64 > MAX_THROWN_AWAY) {
        std::mem::forget(request);
    } else {
        drop(request.into_writer());
    }
}

impl ClientStream for TinyStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.body_done || buf.is_empty() { Ok(0) } else { self.read_body(buf) }
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
        !self.body_done
    }

    fn longest_body(&self) -> u64 {
        LONGEST_BODY
    }

    fn can_keep_alive(&self) -> bool {
        !self.upgrade && self.shared.keeps_alive()
    }

    fn can_tunnel(&self) -> bool {
        self.upgrade && self.body_done
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

/// A connection that tiny_http has given up to the one who asked for an upgrade.
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
