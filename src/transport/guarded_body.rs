//! A request's body on its way into ureq.

use std::io::{self, Read};

use super::attempt;

/// Most bytes made up for a body that the backend does not want any more; see [`GuardedBody`].
const MAX_FILLER_BYTES: u64 = 64 << 20;

/// A request body that ureq 3.5 can't misread. ureq spins for ever on a reader that ends before its
/// announced length; this one errs instead, hands out no byte beyond it, and notes whose fault it was.
/// When the backend has stopped taking the body it makes the rest up, so that ureq goes on to read
/// the answer.
pub struct GuardedBody<'a> {
    reader: &'a mut dyn Read,
    left: Option<u64>,
    filler_bytes: u64,
}

impl<'a> GuardedBody<'a> {
    /// A body of `length` bytes, or in chunks.
    pub fn new(reader: &'a mut dyn Read, length: Option<u64>) -> GuardedBody<'a> {
        GuardedBody { reader, left: length, filler_bytes: 0 }
    }
}

impl Read for GuardedBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if attempt::with(|attempt| attempt.body_refused) == Some(true) {
            return self.fill(buf);
        }
        let most =
            self.left.map_or(buf.len(), |left| buf.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buf[..most]);
        let early_end = matches!((&read, self.left), (Ok(0), Some(_)));
        if read.is_err() || early_end {
            attempt::with(|attempt| attempt.client_failed = true);
        }
        match read {
            Ok(0) if early_end => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(amount) => {
                self.left = self.left.map(|left| left - amount as u64);
                Ok(amount)
            }
            Err(error) => Err(error),
        }
    }
}

impl GuardedBody<'_> {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left else { return Ok(0) };
        let amount = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.left = Some(left - amount as u64);
        self.filler_bytes += amount as u64;
        if self.filler_bytes > MAX_FILLER_BYTES {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(amount)
    }
}
