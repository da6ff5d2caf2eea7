//! The request body on its way through: what is read is kept, up to a limit, so that a second attempt
//! can send it again. Nothing is read ahead, so a body that trickles is passed on as it comes; a worker with
//! one that takes long leaves the pool.

use std::io::{self, Read};
use std::sync::Arc;

use crate::http::BodyLength;
use crate::watch::Place;

/// A client's body that can be read again from its start while it is not too large.
pub struct ReplayBody<'a> {
    source: &'a mut dyn Read,
    kept: Vec<u8>,
    most_kept: usize,
    /// More was read than is kept.
    overflowed: bool,
    /// Where in `kept` the current attempt reads.
    position: usize,
    /// Bytes read from the client.
    read_bytes: u64,
    max_bytes: u64,
    too_large: bool,
    length: BodyLength,
    /// Told when reading begins and ends.
    place: Option<Arc<dyn Place>>,
}

impl<'a> ReplayBody<'a> {
    /// Nothing read yet. Beyond `max_bytes` reading fails.
    pub fn new(source: &'a mut dyn Read, most_kept: usize, max_bytes: Option<u64>) -> ReplayBody<'a> {
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
        }
    }

    /// Of this length, for the worker at this place.
    pub fn at(self, place: Option<Arc<dyn Place>>, length: BodyLength) -> ReplayBody<'a> {
        ReplayBody { place, length, ..self }
    }

    /// Whether the next attempt would find all of it.
    pub fn is_replayable(&self) -> bool {
        !self.overflowed
    }

    /// Starts again from the beginning.
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

impl Read for ReplayBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.position < self.kept.len() {
            let amount = buf.len().min(self.kept.len() - self.position);
            buf[..amount].copy_from_slice(&self.kept[self.position..][..amount]);
            self.position += amount;
            return Ok(amount);
        }
        if let (0, Some(place)) = (self.read_bytes, &self.place) {
            place.relaying();
        }
        let amount = self.source.read(buf)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However it is read, and however often it is begun again, a kept body is the whole body.
        #[test]
        fn replays_byte_for_byte(body: Vec<u8>, steps in proptest::collection::vec((1usize..40, any::<bool>()), 0..40), kept in 0usize..200) {
            let mut source = &body[..];
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
            replay.read_to_end(&mut read).unwrap();
            prop_assert_eq!(&read, &body);
            prop_assert_eq!(replay.is_replayable(), body.len() <= kept);
        }
    }

    #[test]
    fn over_its_limit_it_fails_and_says_so() {
        let mut source = &b"0123456789"[..];
        let mut body = ReplayBody::new(&mut source, 100, Some(9));
        assert!(io::copy(&mut body, &mut io::sink()).is_err());
        assert!(body.is_too_large());
    }
}
