//! A connection lent to a worker for one request. The worker reads the body and writes the answer directly on
//! the socket, including encryption, and then gives the connection back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::conn::{Conn, broken};
use super::core::{Core, Loan};
use super::scratch;
use super::table::Holder;
use super::tunnel::Tunnel;
use crate::duplex::Duplex;
use crate::frontend::{ClientStream, Ending};
use crate::http::chunked::Decoder;
use crate::http::upgrade;
use crate::http::{BodyLength, Headers, RequestHead, Version};
use crate::readiness::{self, Interest};
use crate::watch::{Wait, Watch};

/// What is still to be read of the request's body.
enum Body {
    Whole,
    Length(u64),
    Chunks(Box<Decoder>),
    /// The body is malformed, or its end can't be determined.
    Unreadable,
}

/// See the module.
pub(super) struct Lent {
    core: Arc<Core>,
    index: usize,
    /// `None` after the connection was given back.
    conn: Option<Box<Conn>>,
    body: Body,
    trailers: Headers,
    /// The client waits for `100 Continue` before it sends its body.
    expects_continue: bool,
    asks_upgrade: bool,
    /// Whether the poll reports only the client's FIN, because the body is read here.
    is_hushed: bool,
    watch: Arc<Watch>,
}

impl Lent {
    pub fn new(loan: Loan, head: &RequestHead) -> Lent {
        let Loan { core, index, conn, body_length, watch } = loan;
        let body = match body_length {
            Ok(BodyLength::None | BodyLength::Known(0)) => Body::Whole,
            Ok(BodyLength::Known(length)) => Body::Length(length),
            Ok(BodyLength::Chunked) => Body::Chunks(Box::default()),
            Err(_) => Body::Unreadable,
        };
        let is_new = head.version == Version::Http11;
        let expects =
            || head.headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        let expects_continue = is_new && !matches!(body, Body::Whole) && expects();
        let asks_upgrade = upgrade::wanted(head).is_some();
        Lent {
            core,
            index,
            conn: Some(conn),
            body,
            trailers: Headers::default(),
            expects_continue,
            asks_upgrade,
            is_hushed: false,
            watch,
        }
    }

    fn conn(&mut self) -> io::Result<&mut Box<Conn>> {
        self.conn.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Stops the poll from reporting each piece of the body. This costs two system calls a request, so it is
    /// not used for a body that arrived with its head.
    fn hush(&mut self, hushed: bool) {
        if let Some(conn) = self.conn.as_ref().filter(|_| self.is_hushed != hushed) {
            self.is_hushed =
                self.core.polls[conn.home].hush(&conn.client, self.index, hushed).is_ok() && hushed;
        }
    }

    /// Decodes body bytes that are already in the input.
    fn take(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(conn) = self.conn.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        match &mut self.body {
            Body::Whole | Body::Unreadable => Ok(0),
            Body::Length(left) => {
                let most = conn.input.len().min(buf.len());
                let amount = most.min(usize::try_from(*left).unwrap_or(usize::MAX));
                buf[..amount].copy_from_slice(&conn.input.bytes()[..amount]);
                conn.input.consume(amount);
                *left -= amount as u64;
                if *left == 0 {
                    self.body = Body::Whole;
                }
                Ok(amount)
            }
            Body::Chunks(decoder) => {
                let Ok((taken, amount)) = decoder.take_into(conn.input.bytes(), buf) else {
                    self.body = Body::Unreadable;
                    return Err(io::ErrorKind::InvalidData.into());
                };
                conn.input.consume(taken);
                if decoder.is_done() {
                    self.trailers = decoder.trailers();
                    self.body = Body::Whole;
                }
                Ok(amount)
            }
        }
    }

    /// Reads from the socket: directly into `buf` if possible, returning the amount, else into the input,
    /// returning 0.
    fn receive(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(conn) = self.conn.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        conn.readable = true;
        let straight = match (&mut self.body, &conn.tls) {
            (Body::Length(left), None) => {
                let most = buf.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let amount = conn.read_socket(&mut buf[..most]).map_err(|_| broken())?;
                conn.traffic.has_received(amount);
                *left -= amount as u64;
                if *left == 0 {
                    self.body = Body::Whole;
                }
                Some(amount)
            }
            _ => {
                scratch::with(|scratch| {
                    let most = scratch.len().min(buf.len());
                    let amount = conn.read_socket(&mut scratch[..most])?;
                    conn.take_in(&scratch[..amount])
                })
                .map_err(|_| broken())?;
                None
            }
        };
        // TLS may have a message of its own to send.
        conn.flush(Instant::now()).map_err(|_| broken())?;
        match straight {
            Some(amount @ 1..) => Ok(amount),
            _ if !conn.input.is_empty() && straight.is_none() => Ok(0),
            _ if conn.has_ended => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if !conn.readable => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(0),
        }
    }

    /// Waits for the client to take the output.
    fn wait_for_room(&mut self) -> io::Result<()> {
        let limit = (self.core.limits)().client_write;
        let Some(conn) = self.conn.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        while !conn.output.is_empty() {
            let left = limit.saturating_sub(conn.progress.elapsed());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let waiting = Instant::now();
            readiness::wait([(conn.client.as_fd(), Interest::WRITE)], Some(left))?;
            self.watch.has_waited(Wait::Client, waiting.elapsed());
            conn.flush(Instant::now()).map_err(|_| broken())?;
        }
        Ok(())
    }

    fn give_back(&mut self, ending: Ending) {
        self.hush(false);
        if let Some(conn) = self.conn.take() {
            self.core.give_back(conn, self.index, ending);
        }
    }
}

impl ClientStream for Lent {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        loop {
            match self.try_read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let left = (self.core.limits)().client_body.saturating_sub(began.elapsed());
            if left.is_zero() {
                self.give_up();
                return Err(io::ErrorKind::TimedOut.into());
            }
            let waiting = Instant::now();
            let conn = self.conn()?;
            readiness::wait([(conn.client.as_fd(), Interest::READ)], Some(left))?;
            self.watch.has_waited(Wait::Client, waiting.elapsed());
        }
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.expects_continue) && self.conn()?.input.is_empty() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        loop {
            if buf.is_empty() || matches!(self.body, Body::Whole) {
                return Ok(0);
            }
            if matches!(self.body, Body::Unreadable) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let amount = self.take(buf)?;
            if amount > 0 {
                return Ok(amount);
            }
            if matches!(self.body, Body::Whole) {
                continue;
            }
            self.hush(true);
            let amount = self.receive(buf)?;
            if amount > 0 {
                return Ok(amount);
            }
        }
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.conn.as_ref().map(|conn| conn.client.as_fd())
    }

    fn give_up(&mut self) {
        self.watch.body_has_timed_out();
    }

    fn trailers(&mut self) -> Headers {
        std::mem::take(&mut self.trailers)
    }

    fn body_is_pending(&self) -> bool {
        !matches!(self.body, Body::Whole)
    }

    /// After a request for an upgrade, even a declined one, further bytes may belong to the other protocol,
    /// so they must not be parsed as a request.
    fn can_keep_alive(&self) -> bool {
        let has_more = self.conn.as_ref().is_some_and(|conn| !conn.input.is_empty());
        self.core.keeps_alive() && !(self.asks_upgrade && has_more)
    }

    fn can_tunnel(&self) -> bool {
        self.asks_upgrade
    }

    fn tunnel(&mut self) -> io::Result<Box<dyn Duplex>> {
        if !self.asks_upgrade || self.body_is_pending() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.hush(true);
        let conn = self.conn.take().ok_or(io::ErrorKind::NotConnected)?;
        if let Some(slot) = self.core.table.slot(self.index) {
            slot.lock().holder = Holder::Tunnel;
        }
        Ok(Box::new(Tunnel(conn)))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.conn()?.send(bytes, Instant::now()).map_err(|_| broken())?;
        self.wait_for_room()
    }

    fn finish(&mut self, rest: &[u8], ending: Ending) -> io::Result<()> {
        let sent = self.conn()?.send(rest, Instant::now()).map_err(|_| broken());
        self.give_back(if sent.is_ok() { ending } else { Ending::BrokenOff });
        sent
    }

    fn waits_for_client(&self) -> bool {
        false
    }

    fn end(&mut self, ending: Ending) {
        self.give_back(ending);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.end(Ending::BrokenOff);
    }
}
