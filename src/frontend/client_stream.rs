//! The client's side of one request: reads the body, writes the answer, and ends or keeps the connection.
//! Each kind of listener implements it; tests have a fake.

use std::io;
use std::os::fd::BorrowedFd;

use crate::duplex::Duplex;
use crate::http::Headers;

/// How a connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Kept for the next request.
    KeepAlive,
    /// Closed after a complete answer.
    Close,
    /// Closed in the middle of the answer.
    BrokenOff,
    /// Reset, because a close would look like the end of the answer.
    Reset,
}

/// See the module.
pub trait ClientStream: Send {
    /// Reads the decoded body and waits for it; 0 is the end of a complete body. Sends `100 Continue` first
    /// if the client expects it.
    ///
    /// # Errors
    /// The client broke off, its chunks are malformed, or it took too long: the body can't be completed.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Like [`ClientStream::read`] without waiting: `WouldBlock` if nothing has arrived.
    ///
    /// # Errors
    /// As [`ClientStream::read`].
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// The descriptor that becomes readable when more of the body arrives; `None` if only
    /// [`ClientStream::read`] can tell.
    fn readiness(&self) -> Option<BorrowedFd<'_>>;

    /// Notes that the client has sent nothing for too long.
    fn give_up(&mut self);

    /// The trailer fields of a chunked body that has ended.
    fn trailers(&mut self) -> Headers;

    /// Whether part of the body is still unread.
    fn body_is_pending(&self) -> bool;

    /// The longest `Content-Length` that is accepted, in bytes.
    fn longest_body(&self) -> u64 {
        u64::MAX
    }

    /// Whether another request may follow on this connection.
    fn can_keep_alive(&self) -> bool;

    /// Whether the connection can become a tunnel once the body is read: the client asked for an upgrade, and
    /// the listener leaves the bytes behind the request alone.
    fn can_tunnel(&self) -> bool;

    /// Turns the connection into a tunnel; this stream must not be used afterwards.
    ///
    /// # Errors
    /// The connection can't become a tunnel, or the client is gone.
    fn tunnel(&mut self) -> io::Result<Box<dyn Duplex>>;

    /// Writes and sends all of it.
    ///
    /// # Errors
    /// The client is gone, or has taken nothing for `timeouts.client_write`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes the last of the answer and ends it. The front's threads send what the client does not take at
    /// once, so there the caller does not wait for the client; see [`ClientStream::waits_for_client`].
    ///
    /// # Errors
    /// As [`ClientStream::write`], if the error shows in time.
    fn finish(&mut self, rest: &[u8], ending: Ending) -> io::Result<()>;

    /// Whether [`ClientStream::finish`] and [`ClientStream::end`] may have to wait for the client.
    fn waits_for_client(&self) -> bool;

    /// Ends the answer. Only the first call has an effect.
    fn end(&mut self, ending: Ending);
}
