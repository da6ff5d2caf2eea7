//! The stream of one request: its body in, its answer out, and the end of its connection.

use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::connections::{Ticket, discard};
use super::front::handed::Handed;
use super::socket::ClientSocket;
use crate::http::BodyLength;

/// How long a client that is still sending gets to take notice of an answer.
const LINGER: Duration = Duration::from_secs(1);
/// The same where others wait for whoever ends the answer.
const SHORT_LINGER: Duration = Duration::from_millis(20);

/// How a connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed; the answer was whole.
    Close,
    /// It is closed in the middle of the answer.
    BrokenOff,
    /// It is reset, because a close would look like the end of the answer.
    Reset,
}

/// The stream of one request. Two real ones would be too many; tests have a fake.
pub trait ClientStream: Send {
    /// Reads decoded body; 0 is its whole end. Asks the client to go on (`100 Continue`) when it waits
    /// for that.
    ///
    /// # Errors
    /// The client broke off, or its chunks are malformed: no good end will come.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Whether some of the body was not read yet.
    fn body_is_pending(&self) -> bool;

    /// Whether another request can follow on this connection.
    fn can_keep_alive(&self) -> bool;

    /// Whether the connection can be made a tunnel: the client asked for an upgrade in a way that
    /// leaves its bytes alone.
    fn can_tunnel(&self) -> bool;

    /// Makes the connection a tunnel and gives a second hold on it, to write to. From then on
    /// [`ClientStream::read`] reads the client's bytes as they come, until it ends its side.
    ///
    /// # Errors
    /// It can't be one, or the client is gone.
    fn tunnel(&mut self) -> io::Result<Box<dyn TunnelEnd>>;

    /// Writes all of it, and sends it at once.
    ///
    /// # Errors
    /// The client is gone, or takes nothing for `timeouts.client_write`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The answer's end must not wait long for the client: others wait for whoever ends it.
    fn hurry(&mut self) {}

    /// Ends the answer. Once only; later calls do nothing.
    fn end(&mut self, ending: Ending);
}

/// The writing side of a tunnel.
pub trait TunnelEnd: Write + Send {
    /// Nothing more will be written or read.
    fn close(&self);
}

impl TunnelEnd for ClientSocket {
    fn close(&self) {
        self.shutdown(Shutdown::Both);
    }
}

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

/// A stream over tiny_http's request.
///
/// tiny_http 0.12 must never see its request dropped unanswered (it would send an answer of its own),
/// nor an unread body dropped on a living connection (it would read it to its end first, into memory
/// as large as the announced length); so every end goes through [`TinyStream::let_go`].
pub struct TinyStream {
    request: Option<tiny_http::Request>,
    output: Output,
    /// Body bytes still to come; `None` for chunked.
    body_left: Option<u64>,
    body_done: bool,
    upgrade: bool,
    /// tiny_http reads no further request from this connection.
    is_last: bool,
    is_tunnel: bool,
    /// How long the client gets, see [`LINGER`].
    linger: Duration,
    ticket: Ticket,
    /// The front that this came through.
    front: Option<Arc<Handed>>,
}

impl TinyStream {
    /// Takes over the request. `upgrade` says that tiny_http left the byte stream raw, because the
    /// client asked for an upgrade; `is_last` that it reads no further request from this connection, so
    /// that whatever comes from this peer next is a new one's.
    pub(super) fn new(
        request: tiny_http::Request,
        length: BodyLength,
        (upgrade, is_last): (bool, bool),
        mut ticket: Ticket,
        front: Option<Arc<Handed>>,
    ) -> TinyStream {
        let (body_left, body_done) = match length {
            BodyLength::None | BodyLength::Known(0) => (Some(0), true),
            BodyLength::Known(length) => (Some(length), false),
            BodyLength::Chunked => (None, false),
        };
        if is_last {
            ticket.is_last();
        }
        TinyStream {
            request: Some(request),
            output: Output::None,
            body_left,
            body_done,
            upgrade,
            is_last,
            is_tunnel: false,
            linger: LINGER,
            ticket,
            front,
        }
    }

    fn begin_output(&mut self) -> io::Result<()> {
        // Behind the front nothing is announced that tiny_http would read first.
        if self.body_done || self.front.is_some() {
            let request = self.request.take().ok_or(io::ErrorKind::NotConnected)?;
            self.output = Output::Library(request.into_writer());
            return Ok(());
        }
        let socket = self.ticket.socket().ok_or(io::ErrorKind::NotConnected)?;
        self.output = Output::Direct(socket);
        Ok(())
    }

    fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let request = self.request.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let most = match self.body_left {
            Some(left) => buf.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
            None => buf.len(),
        };
        let amount = request.as_reader().read(&mut buf[..most])?;
        match self.body_left.as_mut() {
            // tiny_http says 0 and no error when the client breaks off.
            Some(_) if amount == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(left) => {
                *left -= amount as u64;
                self.body_done = *left == 0;
                if self.body_done && self.front.is_some() {
                    // From the front it comes in chunks: the last one must not be left for a request.
                    let end = request.as_reader().read(&mut [0])?;
                    debug_assert_eq!(end, 0, "the front sends no more than was announced");
                }
            }
            None if amount == 0 => {
                // The decoder says 0 for a body cut inside a chunk, too. Only the front or the socket
                // knows: without a front, a client that has ended its side after a chunked body is
                // taken for one that broke off.
                let is_whole = match &self.front {
                    Some(front) => front.body_is_whole.load(SeqCst),
                    None => self.ticket.socket().is_some_and(|socket| !socket.has_ended()),
                };
                if !is_whole {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.body_done = true;
            }
            None => {}
        }
        Ok(amount)
    }

    /// Gives tiny_http's request back without it writing anything, or reading what was not read.
    fn let_go(&mut self) {
        if let Some(request) = self.request.take() {
            if !self.body_done
                && let Some(socket) = self.ticket.socket()
            {
                socket.shutdown(Shutdown::Both);
            }
            discard(request);
        }
    }

    /// Behind the front tiny_http's connection is the front's to keep or to close, unless an upgrade has
    /// been asked for: then tiny_http will not read another request from it.
    fn is_ended_by_front(&self) -> bool {
        self.front.is_some() && !self.upgrade
    }

    fn close(&mut self, ending: Ending) {
        let output = std::mem::replace(&mut self.output, Output::Ended);
        let direct = matches!(output, Output::Direct(_));
        if ending == Ending::KeepAlive && !direct && self.request.is_none() {
            return;
        }
        if self.is_ended_by_front() {
            // The front was told and ends the client's connection, and this one where it is of no more
            // use: nothing has to be searched for.
            drop(output);
            return self.request.take().map_or((), discard);
        }
        if self.is_last && self.body_done && ending == Ending::Close {
            // tiny_http's thread has gone already, and ends the connection with our hold on it; nothing
            // has to be searched for.
            drop(output);
            return self.let_go();
        }
        // All was flushed when it was written, so the writer goes after the socket is shut: by its turn
        // tiny_http would answer what it could not read behind this request.
        let (writer, socket) = match output {
            Output::Direct(socket) => (None, Some(socket)),
            Output::Library(writer) => (Some(writer), self.ticket.socket()),
            Output::None | Output::Ended => (None, self.ticket.socket()),
        };
        match socket {
            Some(socket) => self.end_connection(&socket, ending),
            // The client has gone; nobody waits for what it has pipelined.
            None if !self.is_last => self.ticket.mark_closed(0),
            None => {}
        }
        drop(writer);
        self.let_go();
    }

    fn end_connection(&self, socket: &ClientSocket, ending: Ending) {
        if !self.is_last {
            self.ticket.mark_closed(socket.cookie());
        }
        if ending == Ending::Reset {
            socket.reset();
        } else if !self.body_done {
            socket.shutdown(Shutdown::Write);
            socket.linger(self.linger);
        }
        socket.shutdown(Shutdown::Both);
    }
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl ClientStream for TinyStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.is_tunnel {
            return self.request.as_mut().map_or(Ok(0), |request| request.as_reader().read(buf));
        }
        if self.body_done || buf.is_empty() {
            return Ok(0);
        }
        self.ticket.watch().set_reading_body(true);
        if let Some(front) = &self.front {
            front.wants_body();
        }
        let result = self.read_body(buf);
        self.ticket.watch().set_reading_body(false);
        result
    }

    fn body_is_pending(&self) -> bool {
        !self.body_done
    }

    fn can_keep_alive(&self) -> bool {
        !self.upgrade && !self.ticket.is_draining()
    }

    fn can_tunnel(&self) -> bool {
        self.upgrade && self.body_done
    }

    fn tunnel(&mut self) -> io::Result<Box<dyn TunnelEnd>> {
        if !self.can_tunnel() || !matches!(self.output, Output::None) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let hold = || self.ticket.socket().ok_or(io::ErrorKind::NotConnected);
        let (ours, theirs) = (hold()?, hold()?);
        // tiny_http's writer would end the reading side; the request must stay as it is.
        self.output = Output::Direct(ours);
        self.is_tunnel = true;
        Ok(Box::new(theirs))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.output, Output::None) {
            self.begin_output()?;
        }
        if let Some(front) = &self.front {
            front.wrote(bytes.len());
        }
        let result = match &mut self.output {
            Output::Library(writer) => writer.write_all(bytes).and_then(|()| writer.flush()),
            Output::Direct(socket) => socket.write_all(bytes),
            Output::None | Output::Ended => Err(io::ErrorKind::NotConnected.into()),
        };
        match (&result, &self.front) {
            (Err(_), Some(front)) => front.gave_up(),
            // What is left would wait as long again, and again when tiny_http's writer is dropped.
            (Err(error), None) if is_time_out(error) => {
                self.ticket.socket().inspect(|socket| socket.shutdown(Shutdown::Both));
            }
            _ => {}
        }
        result
    }

    fn hurry(&mut self) {
        self.linger = SHORT_LINGER;
    }

    fn end(&mut self, ending: Ending) {
        if !matches!(self.output, Output::Ended) {
            if let Some(front) = &self.front {
                front.end(ending, self.body_done && self.is_ended_by_front());
            }
            self.close(ending);
        }
    }
}

impl Drop for TinyStream {
    fn drop(&mut self) {
        self.end(Ending::BrokenOff);
    }
}
