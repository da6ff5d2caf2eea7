//! The stream of one request: its body in, its answer out, and what becomes of its connection. Each kind of
//! listener has its own; tests have a fake.

use std::io;
use std::os::fd::BorrowedFd;

use crate::duplex::Duplex;
use crate::http::Headers;

/// How a connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed; the answer was whole.
    Close,
    /// It is closed in the middle of the answer.
    BrokenOff,
    /// It is reset, because a close would look like the end of the answer.
    Reset,
}

/// See the module.
pub trait ClientStream: Send {
    /// Reads decoded body and waits for it; 0 is its whole end. Asks the client to go on (`100 Continue`)
    /// when it waits for that.
    ///
    /// # Errors
    /// The client broke off, its chunks are malformed, or it took too long: no good end will come.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// The same without waiting: `WouldBlock` where nothing has come.
    ///
    /// # Errors
    /// As [`ClientStream::read`].
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// What becomes readable when more of the body has come; `None` where only [`ClientStream::read`] tells.
    fn readiness(&self) -> Option<BorrowedFd<'_>>;

    /// The client has sent nothing for too long.
    fn give_up(&mut self);

    /// The fields behind a chunked body that has ended.
    fn trailers(&mut self) -> Headers;

    /// Whether some of the body was not read yet.
    fn body_is_pending(&self) -> bool;

    /// The longest body that may be announced here, in bytes.
    fn longest_body(&self) -> u64 {
        u64::MAX
    }

    /// Whether another request can follow on this connection.
    fn can_keep_alive(&self) -> bool;

    /// Whether the connection can be made a tunnel once the body was read: the client asked for an upgrade
    /// in a way that leaves its bytes alone.
    fn can_tunnel(&self) -> bool;

    /// Gives the connection away as a tunnel; this stream is over.
    ///
    /// # Errors
    /// It can't be one, or the client is gone.
    fn tunnel(&mut self) -> io::Result<Box<dyn Duplex>>;

    /// Writes all of it, and sends it at once.
    ///
    /// # Errors
    /// The client is gone, or takes nothing for `timeouts.client_write`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes the last of the answer and ends it. Where the client does not take all at once, others see to
    /// the rest, if the listener has such: whoever calls this need not wait for the client.
    ///
    /// # Errors
    /// As [`ClientStream::write`], as far as that is known by then.
    fn finish(&mut self, rest: &[u8], ending: Ending) -> io::Result<()>;

    /// Whether [`ClientStream::finish`] and [`ClientStream::end`] may have to wait for the client.
    fn waits_for_client(&self) -> bool;

    /// Ends the answer. Once only; later calls do nothing.
    fn end(&mut self, ending: Ending);
}
