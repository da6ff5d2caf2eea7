//! One connection to a backend, as ureq's `Transport`: limits on every wait, the request's own head,
//! and a way back to the idle ones.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::attempt;
use super::buffers::ExchangeBuffers;
use super::connector::Link;
use super::{Limits, Stage};
use crate::watch::{Interrupt, Watch};

/// A wait may end this much after its limit; for that it takes no system call to set.
const SLACK: f64 = 1.05;
/// The kernel takes no timeout of zero.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// One connection to a backend. Dropped after ureq found it fit for reuse ([`Transport::is_open`] is
/// how ureq 3.5 asks), it goes back to its [`Link`]; dropped otherwise, it is closed.
#[derive(Debug)]
pub struct BackendStream {
    stream: Option<Arc<TcpStream>>,
    watch: Option<Arc<Watch>>,
    keep: Option<Arc<Link>>,
    limits: Limits,
    buffers: ExchangeBuffers,
    read_timeout: Duration,
    write_timeout: Duration,
    fit_for_reuse: bool,
}

impl BackendStream {
    /// Wraps a fresh or an idle connection; without `keep` it serves once.
    pub fn new(
        stream: Arc<TcpStream>,
        keep: Option<Arc<Link>>,
        limits: Limits,
        watch: Option<Arc<Watch>>,
    ) -> BackendStream {
        if let Some(watch) = &watch {
            let wait: Weak<TcpStream> = Arc::downgrade(&stream);
            watch.waits_in(wait);
        }
        BackendStream {
            stream: Some(stream),
            watch,
            keep,
            limits,
            buffers: ExchangeBuffers::new(),
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            fit_for_reuse: false,
        }
    }

    fn stream(&self) -> io::Result<&TcpStream> {
        self.stream.as_deref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The socket's timeout stays as it is while it is about right: setting it costs a system call.
    fn limit_reads(&mut self, wait: Duration) -> io::Result<()> {
        let wait = wait.max(MIN_WAIT);
        if self.read_timeout < wait || self.read_timeout > wait.mul_f64(SLACK) {
            self.stream()?.set_read_timeout(Some(wait))?;
            self.read_timeout = wait;
        }
        Ok(())
    }

    fn limit_writes(&mut self, wait: Duration) -> io::Result<()> {
        if self.write_timeout != wait {
            self.stream()?.set_write_timeout(Some(wait.max(MIN_WAIT)))?;
            self.write_timeout = wait;
        }
        Ok(())
    }

    fn send_head(&mut self, head: &[u8]) -> io::Result<()> {
        self.limit_writes(self.limits.request)?;
        self.stream()?.write_all(head)
    }

    /// Passes on a piece of the request body. A backend may answer before it has all of it, and close
    /// (a 413, say); then the answer is worth more than the error: the rest of the body is made up by
    /// [`super::ureq::GuardedBody`] and goes nowhere, and ureq comes to read the answer.
    fn send_body(&mut self, amount: usize) -> io::Result<()> {
        let refused = attempt::with(|attempt| {
            attempt.stage = Stage::SendBody;
            attempt.deadline = Instant::now() + attempt.limits.request;
            attempt.body_refused
        });
        if refused == Some(true) {
            return Ok(());
        }
        self.limit_writes(self.limits.request)?;
        let Some(mut stream) = self.stream.as_deref() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match stream.write_all(&self.buffers.output()[..amount]) {
            Err(error) if is_closed(&error) => {
                attempt::with(|attempt| attempt.body_refused = true);
                Ok(())
            }
            result => result,
        }
    }
}

impl Interrupt for TcpStream {
    fn interrupt(&self) {
        // An error means that it has ended already.
        let _ = self.shutdown(Shutdown::Both);
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
        self.limit_reads(wait)?;
        let Some(mut stream) = self.stream.as_deref() else { return Err(Error::ConnectionFailed) };
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
        if let (true, Some(link), Some(stream)) = (self.fit_for_reuse, self.keep.take(), self.stream.take()) {
            link.put(stream, &self.limits);
        }
    }
}
