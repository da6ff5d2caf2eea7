//! The request body on its way to the backend. The bytes read are kept, up to a limit, so that a second
//! attempt can send them again. Nothing is read ahead, so a slow body is passed on as it arrives; a worker
//! whose body takes long is detached from the pool.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::forwarded;
use crate::client_side::ClientSide;
use crate::http::{BodyLength, Headers};
use crate::readiness::is_moment;
use crate::watch::WorkerHandle;

/// A client's body that can be read again from its start unless it exceeds the buffer.
pub struct ReplayBody<'a> {
    source: &'a mut dyn ClientSide,
    kept: Vec<u8>,
    most_kept: usize,
    /// More was read than may be kept.
    overflowed: bool,
    /// Position in `kept` where the current attempt reads.
    position: usize,
    /// Bytes read from the client.
    read_bytes: u64,
    max_bytes: u64,
    too_large: bool,
    length: BodyLength,
    /// The worker, which is notified when reading begins and ends.
    place: Option<Arc<dyn WorkerHandle>>,
    trailers: Headers,
}

impl<'a> ReplayBody<'a> {
    /// A body of which nothing has been read. Reading more than `max_bytes` fails.
    pub fn new(source: &'a mut dyn ClientSide, most_kept: usize, max_bytes: Option<u64>) -> ReplayBody<'a> {
        ReplayBody {
            source,
            kept: Vec::new(),
            most_kept,
            overflowed: false,
            position: 0,
            read_bytes: 0,
            max_bytes: max_bytes.unwrap_or(u64::MAX),
            too_large: false,
            length: BodyLength::Chunked,
            place: None,
            trailers: Headers::default(),
        }
    }

    /// Sets the body's length and the worker that handles the request.
    pub fn at(self, place: Option<Arc<dyn WorkerHandle>>, length: BodyLength) -> ReplayBody<'a> {
        ReplayBody { place, length, ..self }
    }

    /// Whether another attempt can send the whole body.
    pub fn is_replayable(&self) -> bool {
        !self.overflowed
    }

    /// The part of the body that the current attempt has not read.
    pub fn rest(&mut self) -> Rest {
        let mut kept = std::mem::take(&mut self.kept);
        kept.drain(..self.position.min(kept.len()));
        let left = self.max_bytes.saturating_sub(self.read_bytes);
        Rest { kept, trailers: self.trailers.clone(), left, is_broken: false }
    }

    /// Starts the next attempt at the first byte.
    pub fn rewind(&mut self) {
        self.position = 0;
    }

    /// Whether reading failed because the body is over its limit.
    pub fn is_too_large(&self) -> bool {
        self.too_large
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.overflowed || self.kept.len() + piece.len() > self.most_kept {
            self.overflowed = true;
            self.kept = Vec::new();
            self.position = 0;
        } else {
            self.kept.extend_from_slice(piece);
            self.position = self.kept.len();
        }
    }
}

impl ReplayBody<'_> {
    /// Reads the kept bytes first, then calls `more` to read from the client.
    fn read_with(
        &mut self,
        buf: &mut [u8],
        more: impl FnOnce(&mut dyn ClientSide, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.position < self.kept.len() {
            let amount = buf.len().min(self.kept.len() - self.position);
            buf[..amount].copy_from_slice(&self.kept[self.position..][..amount]);
            self.position += amount;
            return Ok(amount);
        }
        if let (0, Some(place)) = (self.read_bytes, &self.place) {
            place.relaying();
        }
        let amount = more(self.source, buf)?;
        self.read_bytes += amount as u64;
        let is_whole = (amount == 0 && !buf.is_empty()) || self.length == BodyLength::Known(self.read_bytes);
        if let (true, Some(place)) = (is_whole, &self.place) {
            place.waiting();
        }
        if self.read_bytes > self.max_bytes {
            self.too_large = true;
            return Err(io::Error::other("request body over its limit"));
        }
        self.keep(&buf[..amount]);
        Ok(amount)
    }
}

impl ClientSide for ReplayBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(buf, |source, buf| source.read(buf))
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(buf, |source, buf| source.try_read(buf))
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.source.readiness()
    }

    fn give_up(&mut self) {
        self.source.give_up();
    }

    fn trailers(&mut self) -> Headers {
        if self.trailers.is_empty() {
            self.trailers = self.source.trailers();
        }
        self.trailers.clone()
    }

    fn interim(&mut self, status: u16, headers: &Headers) {
        self.source.interim(status, &forwarded::interim(headers));
    }
}

/// The rest of a body whose answer has begun: it is passed on once and not kept.
#[derive(Debug)]
pub struct Rest {
    /// Bytes read from the client for an earlier attempt that the answering backend has not received.
    kept: Vec<u8>,
    trailers: Headers,
    /// How many more bytes the client may send.
    left: u64,
    /// The client has sent nothing for too long, or what is no body.
    is_broken: bool,
}

impl Rest {
    /// Whether the client has failed to send the body, so that a backend that waits for it is not to blame.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }
}

/// The rest of a body together with the client that sends it.
pub struct RestOfBody<'a> {
    source: &'a mut dyn ClientSide,
    rest: &'a mut Rest,
}

impl<'a> RestOfBody<'a> {
    /// Reads `rest` first, then from `source`.
    pub fn new(source: &'a mut dyn ClientSide, rest: &'a mut Rest) -> RestOfBody<'a> {
        RestOfBody { source, rest }
    }

    fn read_with(
        &mut self,
        buf: &mut [u8],
        more: impl FnOnce(&mut dyn ClientSide, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.rest.kept.is_empty() {
            let amount = buf.len().min(self.rest.kept.len());
            buf[..amount].copy_from_slice(&self.rest.kept[..amount]);
            self.rest.kept.drain(..amount);
            return Ok(amount);
        }
        let read = more(self.source, buf).and_then(|amount| {
            let too_large = || io::Error::other("request body over its limit");
            self.rest.left = self.rest.left.checked_sub(amount as u64).ok_or_else(too_large)?;
            Ok(amount)
        });
        self.rest.is_broken |= read.as_ref().is_err_and(|error| !is_moment(error));
        read
    }
}

impl ClientSide for RestOfBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(buf, |source, buf| source.read(buf))
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(buf, |source, buf| source.try_read(buf))
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.source.readiness()
    }

    fn give_up(&mut self) {
        self.rest.is_broken = true;
        self.source.give_up();
    }

    fn trailers(&mut self) -> Headers {
        match self.rest.trailers.is_empty() {
            true => self.source.trailers(),
            false => std::mem::take(&mut self.rest.trailers),
        }
    }

    fn interim(&mut self, _: u16, _: &Headers) {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client that has sent these bytes.
    struct Sent<'a>(&'a [u8]);

    impl ClientSide for Sent<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            io::Read::read(&mut self.0, buf)
        }
        fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.read(buf)
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

    /// The whole body, read piece by piece.
    fn read_to_end(body: &mut dyn ClientSide) -> io::Result<Vec<u8>> {
        let (mut whole, mut piece) = (Vec::new(), [0; 7]);
        loop {
            match body.read(&mut piece)? {
                0 => return Ok(whole),
                amount => whole.extend_from_slice(&piece[..amount]),
            }
        }
    }

    proptest! {
        /// Read in any pieces and rewound any number of times, a kept body stays the whole body.
        #[test]
        fn replays_byte_for_byte(body: Vec<u8>, steps in proptest::collection::vec((1usize..40, any::<bool>()), 0..40), kept in 0usize..200) {
            let mut source = Sent(&body);
            let mut replay = ReplayBody::new(&mut source, kept, None);
            let mut read = Vec::new();
            for (size, rewind) in steps {
                let mut piece = vec![0; size];
                let amount = replay.read(&mut piece).unwrap();
                read.extend_from_slice(&piece[..amount]);
                if rewind && replay.is_replayable() {
                    replay.rewind();
                    read.clear();
                }
            }
            read.extend_from_slice(&read_to_end(&mut replay).unwrap());
            prop_assert_eq!(&read, &body);
            prop_assert_eq!(replay.is_replayable(), body.len() <= kept);
        }
    }

    #[test]
    fn the_rest_begins_where_the_attempt_stands_that_was_answered() {
        let mut source = Sent(b"0123456789");
        let mut body = ReplayBody::new(&mut source, 100, Some(20));
        body.read(&mut [0; 6]).unwrap();
        body.rewind();
        body.read(&mut [0; 2]).unwrap();
        let mut rest = body.rest();
        assert_eq!((&rest.kept[..], rest.left), (&b"2345"[..], 14));
        let mut source = Sent(b"6789");
        let read = read_to_end(&mut RestOfBody::new(&mut source, &mut rest)).unwrap();
        assert_eq!((&read[..], rest.left), (&b"23456789"[..], 10));
    }

    #[test]
    fn over_its_limit_it_fails_and_says_so() {
        let mut source = Sent(b"0123456789");
        let mut body = ReplayBody::new(&mut source, 100, Some(9));
        assert!(read_to_end(&mut body).is_err());
        assert!(body.is_too_large());
    }
}
