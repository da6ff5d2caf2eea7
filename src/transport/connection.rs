//! A connection to a backend in use by one exchange: limits every wait, buffers input, and returns the
//! connection to the pool.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::idle::ConnectionPool;
use super::input::Input;
use super::wire::Wire;
use super::{Limits, Outgoing};
use crate::duplex::Duplex;
use crate::watch::{Wait, Watch};

/// See the module. Dropping it without [`Connection::keep`] closes the connection.
pub struct Connection {
    wire: Arc<Wire>,
    link: Arc<ConnectionPool>,
    limits: Limits,
    watch: Option<Arc<Watch>>,
    /// Received but not consumed.
    pub input: Input,
    /// Exchanges that the connection carried before this one.
    served: u32,
}

impl Connection {
    /// An idle connection if one is suitable, else a new one.
    ///
    /// # Errors
    /// No connection could be opened.
    pub fn to(link: &Arc<ConnectionPool>, request: &Outgoing<'_>) -> io::Result<Connection> {
        let limits = request.limits;
        let idle = if request.fresh { None } else { link.take(&limits, !request.repeatable) };
        let (wire, served) = match idle {
            Some(idle) => idle,
            None => (opened(link, request)?, 0),
        };
        let watch = request.watch.clone();
        if let Some(watch) = &watch {
            let wait: Weak<Wire> = Arc::downgrade(&wire);
            watch.set_interrupt(wait);
        }
        Ok(Connection { wire, link: Arc::clone(link), limits, watch, input: Input::new(), served })
    }

    /// Records time spent waiting for the client.
    pub fn has_waited_for_client(&self, time: Duration) {
        if let Some(watch) = &self.watch {
            watch.has_waited(Wait::Client, time);
        }
    }

    /// Records the backend's `Keep-Alive` field.
    pub fn announces(&self, keep_alive: &[u8]) {
        self.link.announced(keep_alive);
    }

    /// Whether the connection carried an exchange before this one.
    pub fn is_reused(&self) -> bool {
        self.served > 0
    }

    /// Sends all of it; each wait takes at most `timeouts.request`.
    ///
    /// # Errors
    /// The connection's; `WouldBlock` when the time is up.
    pub fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.wire.limit_writes(self.limits.request)?;
        self.wire.write_all(bytes)?;
        self.link.traffic.has_sent(bytes.len());
        Ok(())
    }

    /// Sends as much as the socket takes.
    ///
    /// # Errors
    /// The connection's; `WouldBlock` if the socket takes nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let amount = self.wire.try_write(bytes)?;
        self.link.traffic.has_sent(amount);
        Ok(amount)
    }

    /// Whether accepted bytes are still unsent.
    pub fn has_unsent(&self) -> bool {
        self.wire.has_unsent()
    }

    /// Waits for more input; 0 at the end.
    ///
    /// # Errors
    /// The connection's; `TimedOut` after `limit`.
    pub fn read_more(&mut self, limit: Duration) -> io::Result<usize> {
        let amount = read(&self.wire, self.input.room(), limit)?;
        self.filled(amount);
        Ok(amount)
    }

    /// Reads available bytes into the input; 0 at the end.
    ///
    /// # Errors
    /// The connection's; `WouldBlock` if nothing has arrived.
    pub fn try_read_more(&mut self) -> io::Result<usize> {
        let amount = self.wire.try_read(self.input.room())?;
        self.filled(amount);
        Ok(amount)
    }

    fn filled(&mut self, amount: usize) {
        self.input.filled(amount);
        self.link.traffic.has_received(amount);
    }

    /// Reads directly into `buf`; the input must be empty.
    ///
    /// # Errors
    /// As [`Connection::read_more`].
    pub fn read(&self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        let amount = read(&self.wire, buf, limit)?;
        self.link.traffic.has_received(amount);
        Ok(amount)
    }

    /// Returns the connection to the pool, after an exchange that leaves it reusable.
    pub fn keep(self) {
        let (wire, served) = (Arc::clone(&self.wire), self.served.saturating_add(1));
        let (link, limits, is_clean) = (Arc::clone(&self.link), self.limits, self.input.is_empty());
        drop(self);
        if is_clean {
            link.put(wire, served, &limits);
        }
    }

    /// Turns the connection into a tunnel, which may be silent for any time; keep-alive probes detect a peer
    /// that is gone.
    pub fn into_tunnel(self) -> Box<dyn Duplex> {
        self.wire.keep_alive();
        Box::new(Tunnel { connection: self })
    }
}

/// Opens a connection and records the time taken, even if it fails.
fn opened(link: &ConnectionPool, request: &Outgoing<'_>) -> io::Result<Arc<Wire>> {
    let began = Instant::now();
    let wire = link.open(&request.limits);
    if let Some(watch) = &request.watch {
        watch.has_waited(Wait::Connect, began.elapsed());
    }
    wire
}

fn read(wire: &Wire, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
    if limit.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    wire.limit_reads(limit)?;
    loop {
        match wire.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What a socket returns when its timeout has passed.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            result => return result,
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.clear_interrupt();
        }
    }
}

struct Tunnel {
    connection: Connection,
}

impl Duplex for Tunnel {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let early = self.connection.input.bytes();
        if early.is_empty() {
            let amount = self.connection.wire.try_read(buf)?;
            self.connection.link.traffic.has_received(amount);
            return Ok(amount);
        }
        let amount = early.len().min(buf.len());
        buf[..amount].copy_from_slice(&early[..amount]);
        self.connection.input.consume(amount);
        Ok(amount)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.try_write(bytes)
    }

    fn has_unsent(&self) -> bool {
        self.connection.has_unsent()
    }

    fn end_sending(&mut self) {
        self.connection.wire.end_sending();
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
