//! One end of a connection that has become a tunnel: bytes both ways, and nothing in it waits.

use std::io;
use std::os::fd::BorrowedFd;

/// See the module.
pub trait Duplex: Send {
    /// Reads what has come; 0 where the other side has ended, `WouldBlock` where nothing is there.
    ///
    /// # Errors
    /// The connection's.
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Takes some of these bytes to send; `WouldBlock` where there is no room. With no bytes it sends what
    /// was taken before.
    ///
    /// # Errors
    /// The connection's.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether something was taken that has not been sent.
    fn has_unsent(&self) -> bool;

    /// Nothing more will be written.
    fn end_sending(&mut self);

    /// What to poll.
    fn readiness(&self) -> BorrowedFd<'_>;
}
