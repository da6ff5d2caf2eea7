//! Buffers for ureq that are small until needed, grow with what comes, and go back to the thread
//! when the exchange is over: idle connections hold none.
//!
//! ureq's own (`LazyBuffers`) allocate both sizes in full at first use and keep them while a
//! connection is pooled: 100 KB for every idle connection.

use std::cell::RefCell;

use ureq::unversioned::transport::Buffers;

use super::{MAX_REPLY_HEAD_BYTES, attempt};

/// An answer's head and a small body fit in this.
const FIRST_INPUT_BYTES: usize = 8 << 10;
/// One read of a large body. Also bounds the head, which has to fit whole.
const MAX_INPUT_BYTES: usize = MAX_REPLY_HEAD_BYTES;
/// ureq writes a few short lines here; the real head goes another way (see `stream`).
const HEAD_OUTPUT_BYTES: usize = 512;
/// One write of a request body.
const BODY_OUTPUT_BYTES: usize = 16 << 10;
/// Buffers kept by a thread for its next exchange.
const MAX_SPARE: usize = 2;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Input and output of one exchange.
#[derive(Debug)]
pub struct ExchangeBuffers {
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    progress: bool,
}

impl ExchangeBuffers {
    /// Takes a spare input buffer where this thread has one.
    pub fn new() -> ExchangeBuffers {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let input = spare.unwrap_or_else(|| vec![0; FIRST_INPUT_BYTES]);
        ExchangeBuffers { input, start: 0, end: 0, output: Vec::new(), progress: false }
    }

    /// Whether an answer's head fills all there may be.
    pub fn is_full(&self) -> bool {
        self.end - self.start >= MAX_INPUT_BYTES
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() && self.input.len() < MAX_INPUT_BYTES {
            self.input.resize((self.input.len() * 2).min(MAX_INPUT_BYTES), 0);
        }
    }
}

impl Drop for ExchangeBuffers {
    fn drop(&mut self) {
        let input = std::mem::take(&mut self.input);
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push(input);
            }
        });
    }
}

impl Buffers for ExchangeBuffers {
    fn output(&mut self) -> &mut [u8] {
        if self.output.is_empty() {
            self.output.resize(HEAD_OUTPUT_BYTES, 0);
        }
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.make_room();
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end += amount;
        // A read that filled all the room says that there is more: have room for more next time.
        if self.end == self.input.len() && self.input.len() < MAX_INPUT_BYTES {
            self.input.resize(self.input.len() * 2, 0);
        }
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.start += amount;
        attempt::with(|attempt| attempt.body_is_here = self.start < self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        if self.output.len() < BODY_OUTPUT_BYTES {
            self.output.resize(BODY_OUTPUT_BYTES, 0);
        }
        self.make_room();
        (&mut self.input[self.end..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.start < self.end && self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_grows_to_its_bound_and_keeps_what_is_unread() {
        let mut buffers = ExchangeBuffers::new();
        let mut written = 0u8;
        while !buffers.is_full() {
            let room = buffers.input_append_buf();
            let amount = room.len().min(1000);
            room[..amount].fill(written);
            buffers.input_appended(amount);
            written = written.wrapping_add(1);
        }
        assert_eq!(buffers.input().len(), MAX_INPUT_BYTES);
        assert!(buffers.input_append_buf().is_empty());
        buffers.input_consume(1000);
        assert_eq!(buffers.input()[0], 1);
        assert_eq!(buffers.input_append_buf().len(), 1000);
    }

    #[test]
    fn a_thread_reuses_its_buffers() {
        drop(ExchangeBuffers::new());
        let before = SPARE.with_borrow(Vec::len);
        let buffers = ExchangeBuffers::new();
        assert_eq!(SPARE.with_borrow(Vec::len), before - 1);
        drop(buffers);
        assert_eq!(SPARE.with_borrow(Vec::len), before);
    }
}
