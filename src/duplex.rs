//! One end of a connection that has become a tunnel: bytes both ways, without waiting.

use std::io;
use std::os::fd::BorrowedFd;

/// See the module.
pub trait Duplex: Send {
    /// Reads available bytes; 0 if the other side has ended, `WouldBlock` if nothing has arrived.
    ///
    /// # Errors
    /// The connection's.
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Accepts some of these bytes for sending; `WouldBlock` if there is no room. Without bytes, sends those
    /// accepted before.
    ///
    /// # Errors
    /// The connection's.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether accepted bytes are still unsent.
    fn has_unsent(&self) -> bool;

    /// Ends our side of the connection.
    fn end_sending(&mut self);

    /// The descriptor to poll.
    fn readiness(&self) -> BorrowedFd<'_>;
}
