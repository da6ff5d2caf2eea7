//! One connection to a backend, as ureq's `Transport`: limits on every wait, the request's own head,
//! and a way back to the idle ones.

use std::io::{self, Read, Write};
use std::sync::{Arc, Weak};
use std::time::Instant;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::attempt;
use super::buffers::ExchangeBuffers;
use super::connector::Link;
use super::wire::Wire;
use super::{BackendTunnel, Limits, Stage};
use crate::watch::Watch;

/// One connection to a backend. Dropped after ureq found it fit for reuse ([`Transport::is_open`] is
/// how ureq 3.5 asks), it goes back to its [`Link`]; dropped otherwise, it is closed.
#[derive(Debug)]
pub struct BackendStream {
    stream: Option<Arc<Wire>>,
    watch: Option<Arc<Watch>>,
    keep: Option<Arc<Link>>,
    limits: Limits,
    buffers: ExchangeBuffers,
    fit_for_reuse: bool,
}

impl BackendStream {
    /// Wraps a fresh or an idle connection; without `keep` it serves once.
    pub fn new(
        stream: Arc<Wire>,
        keep: Option<Arc<Link>>,
        limits: Limits,
        watch: Option<Arc<Watch>>,
    ) -> BackendStream {
        if let Some(watch) = &watch {
            let wait: Weak<Wire> = Arc::downgrade(&stream);
            watch.waits_in(wait);
        }
        BackendStream {
            stream: Some(stream),
            watch,
            keep,
            limits,
            buffers: ExchangeBuffers::new(),
            fit_for_reuse: false,
        }
    }

    fn stream(&self) -> io::Result<&Wire> {
        self.stream.as_deref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// While an attempt with an upgrade is under way, ureq drops the connection as soon as the answer
    /// has no body, as a 101 has: the attempt's notes keep it.
    fn keep_for_tunnel(&mut self) -> bool {
        let early = self.buffers.input().to_vec();
        let stream = self.stream.clone();
        let kept = attempt::with(|attempt| {
            if attempt.upgrade {
                attempt.tunnel = stream.map(|stream| (stream, early));
            }
            attempt.upgrade
        });
        kept == Some(true)
    }

    fn send_head(&mut self, head: &[u8]) -> io::Result<()> {
        let stream = self.stream()?;
        stream.limit_writes(self.limits.request)?;
        stream.write_all(head)
    }

    /// Passes on a piece of the request body. A backend may answer before it has all of it, and close
    /// (a 413, say); then the answer is worth more than the error: the rest of the body is made up by
    /// [`super::guarded_body::GuardedBody`] and goes nowhere, and ureq comes to read the answer.
    fn send_body(&mut self, amount: usize) -> io::Result<()> {
        let refused = attempt::with(|attempt| {
            attempt.stage = Stage::SendBody;
            attempt.deadline = Instant::now() + attempt.limits.request;
            attempt.body_refused
        });
        if refused == Some(true) {
            return Ok(());
        }
        let Some(stream) = self.stream.as_deref() else { return Err(io::ErrorKind::NotConnected.into()) };
        stream.limit_writes(self.limits.request)?;
        match stream.write_all(&self.buffers.output()[..amount]) {
            Err(error) if is_closed(&error) => {
                attempt::with(|attempt| attempt.body_refused = true);
                Ok(())
            }
            result => result,
        }
    }
}

/// A connection whose backend has granted an upgrade; `early` was read from it already.
pub fn tunnel(stream: Arc<Wire>, early: Vec<u8>) -> BackendTunnel {
    // A tunnel may be silent for as long as it likes; a peer that is gone without a word is found out
    // by keep-alive probes.
    let _ = stream.set_read_timeout(None);
    stream.keep_alive();
    let reader = io::Cursor::new(early).chain(Shared(Arc::clone(&stream)));
    let writer = Shared(Arc::clone(&stream));
    let sending = Arc::clone(&stream);
    let end_sending = move || sending.end_sending();
    BackendTunnel {
        reader: Box::new(reader),
        writer: Box::new(writer),
        end_sending: Box::new(end_sending),
        closer: stream,
    }
}

/// One of several hands on a connection.
struct Shared(Arc<Wire>);

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// ureq takes some kinds of error for the end of an answer that has no length; none of ours is.
fn hard(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Io(io::ErrorKind::TimedOut.into()),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Error::Io(io::Error::other(error))
        }
        _ => Error::Io(error),
    }
}

impl Transport for BackendStream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    /// The first output of an attempt is ureq's head, and ours goes out in its place: with the
    /// client's own target (`http::Uri` rejects or alters many that are legal) and with names and
    /// values as they came.
    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        match attempt::with(|attempt| attempt.head.take()).flatten() {
            Some(head) => self.send_head(&head).map_err(hard)?,
            None if amount > 0 => self.send_body(amount).map_err(hard)?,
            None => {}
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        attempt::with(|attempt| attempt.stage = Stage::AwaitHead);
        if self.buffers.is_full() {
            return Err(Error::LargeResponseHeader(self.buffers.input().len(), super::MAX_REPLY_HEAD_BYTES));
        }
        let wait = attempt::read_patience(self.limits.request);
        if wait.is_zero() {
            return Err(Error::Io(io::ErrorKind::TimedOut.into()));
        }
        let Some(stream) = self.stream.as_deref() else { return Err(Error::ConnectionFailed) };
        stream.limit_reads(wait)?;
        let amount = loop {
            match stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(hard)?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        let refused = attempt::with(|attempt| attempt.body_refused);
        self.fit_for_reuse = refused != Some(true);
        self.fit_for_reuse
    }
}

impl Drop for BackendStream {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.waits_no_more();
        }
        if self.keep_for_tunnel() {
            return;
        }
        if let (true, Some(link), Some(stream)) = (self.fit_for_reuse, self.keep.take(), self.stream.take()) {
            link.put(stream, &self.limits);
        }
    }
}
