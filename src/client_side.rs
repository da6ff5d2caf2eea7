//! The client's side of one exchange, as whoever carries its request to a backend sees it: more of the
//! body, and a way to pass interim answers on. `frontend` and `transport` don't know each other; both know
//! this.

use std::io;
use std::os::fd::BorrowedFd;

use crate::http::Headers;

/// See the module.
pub trait ClientSide {
    /// Reads more of the request's decoded body and waits for it, at most `timeouts.client_body`; 0 is the
    /// whole end.
    ///
    /// # Errors
    /// The client broke off, sends malformed chunks or more than it may, or took too long.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// The same without waiting: `WouldBlock` where nothing has come yet.
    ///
    /// # Errors
    /// As [`ClientSide::read`].
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// What becomes readable when more of the body has come; `None` where only [`ClientSide::read`] can
    /// tell.
    fn readiness(&self) -> Option<BorrowedFd<'_>>;

    /// The client has sent nothing for `timeouts.client_body`: no more will be read from it.
    fn give_up(&mut self);

    /// The fields behind a chunked body that has ended; empty where there are none.
    fn trailers(&mut self) -> Headers;

    /// Passes an interim answer (RFC 9110 section 15.2) on, if the client understands such.
    fn interim(&mut self, status: u16, headers: &Headers);
}

/// Nobody: for requests of our own, which have no body.
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
