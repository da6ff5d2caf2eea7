//! A client's connection that has become a tunnel, for the rest of its life.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::conn::{Conn, broken};
use crate::duplex::Duplex;

/// Bytes that may be buffered until the client's socket takes them.
const MAX_UNSENT: usize = 32 << 10;

/// See the module.
pub(super) struct Tunnel(pub Box<Conn>);

impl Duplex for Tunnel {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let conn = &mut self.0;
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
        let conn = &mut self.0;
        conn.flush(now).map_err(|_| broken())?;
        if conn.output.len() >= MAX_UNSENT {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        conn.send(bytes, now).map_err(|_| broken())?;
        Ok(bytes.len())
    }

    fn has_unsent(&self) -> bool {
        !self.0.output.is_empty()
    }

    fn end_sending(&mut self) {
        // An error means that the connection is gone.
        let _ = self.0.close(true, Instant::now());
        self.0.shut();
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.0.client.as_fd()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.0.flush(Instant::now());
    }
}
