//! A client's connection that has become a tunnel, for the rest of its life.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::conn::{Conn, broken};
use super::core::Core;
use crate::duplex::Duplex;

/// Bytes that may be buffered until the client's socket takes them.
const MAX_UNSENT: usize = 32 << 10;

/// See the module.
pub(super) struct Tunnel {
    core: Arc<Core>,
    index: usize,
    /// `None` only while it is dropped.
    conn: Option<Box<Conn>>,
}

impl Tunnel {
    pub fn new(core: Arc<Core>, index: usize, conn: Box<Conn>) -> Tunnel {
        Tunnel { core, index, conn: Some(conn) }
    }

    fn conn(&mut self) -> io::Result<&mut Box<Conn>> {
        self.conn.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Duplex for Tunnel {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let conn = self.conn()?;
        if conn.input.is_empty() && !conn.has_ended {
            conn.readable = true;
            conn.receive().map_err(|_| broken())?;
            conn.flush(Instant::now()).map_err(|_| broken())?;
        }
        let amount = conn.input.len().min(buf.len());
        if amount == 0 && !conn.has_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf[..amount].copy_from_slice(&conn.input.bytes()[..amount]);
        conn.input.consume(amount);
        Ok(amount)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = Instant::now();
        let conn = self.conn()?;
        conn.flush(now).map_err(|_| broken())?;
        if conn.output.len() >= MAX_UNSENT {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        conn.send(bytes, now).map_err(|_| broken())?;
        Ok(bytes.len())
    }

    fn has_unsent(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| !conn.output.is_empty())
    }

    fn end_sending(&mut self) {
        if let Ok(conn) = self.conn() {
            // An error means that the connection is gone.
            let _ = conn.close(true, Instant::now());
            conn.shut();
        }
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        match &self.conn {
            Some(conn) => conn.client.as_fd(),
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            let _ = conn.flush(Instant::now());
            self.core.let_go(conn, self.index);
        }
    }
}
