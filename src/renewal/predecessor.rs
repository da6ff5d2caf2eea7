//! The new process's side of a renewal.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use super::channel::{GO, HandedOver, READY, SERVING, STEP_LIMIT, expect, receive_sockets};
use super::child::START_LIMIT;

/// See the module.
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Receives what the old process hands over through this channel.
    ///
    /// # Errors
    /// The old process has ended, or has sent something else than listening sockets.
    pub fn at(channel: UnixStream) -> io::Result<(Predecessor, HandedOver)> {
        channel.set_read_timeout(Some(STEP_LIMIT))?;
        let handed_over = receive_sockets(&channel)?;
        Ok((Predecessor(channel), handed_over))
    }

    /// Reports that everything but accepting has started; returns when accepting may begin.
    ///
    /// # Errors
    /// The old process has ended or called it off.
    pub fn ready(&self) -> io::Result<()> {
        (&self.0).write_all(&[READY])?;
        expect(&self.0, GO, START_LIMIT)
    }

    /// Reports that this process accepts. A predecessor that has ended does not need to know.
    pub fn serving(&self) {
        let _ = (&self.0).write_all(&[SERVING]);
    }
}
