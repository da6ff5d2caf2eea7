//! The client's side of one exchange, as `transport` sees it: the request's body, and a way to pass on
//! interim answers. `frontend` and `transport` don't know each other; both know this trait.

use std::io;
use std::os::fd::BorrowedFd;

use crate::http::Headers;

/// See the module.
pub trait ClientSide {
    /// Reads more of the request's decoded body, waiting at most `timeouts.client_body`; 0 is the end of a
    /// complete body.
    ///
    /// # Errors
    /// The client broke off, sent malformed chunks or too much, or took too long.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Like [`ClientSide::read`] without waiting: `WouldBlock` if nothing has arrived.
    ///
    /// # Errors
    /// As [`ClientSide::read`].
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// The descriptor that becomes readable when more of the body arrives; `None` if only
    /// [`ClientSide::read`] can tell.
    fn readiness(&self) -> Option<BorrowedFd<'_>>;

    /// Notes that the client has sent nothing for `timeouts.client_body`; nothing more will be read from it.
    fn give_up(&mut self);

    /// The trailer fields of a chunked body that has ended; empty if there are none.
    fn trailers(&mut self) -> Headers;

    /// Passes on an interim answer (RFC 9110 section 15.2), if the client understands them.
    fn interim(&mut self, status: u16, headers: &Headers);
}

/// For requests of our own, which have no client and no body.
#[derive(Debug, Default)]
pub struct NoClient;

impl ClientSide for NoClient {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn give_up(&mut self) {}

    fn trailers(&mut self) -> Headers {
        Headers::default()
    }

    fn interim(&mut self, _: u16, _: &Headers) {}
}
