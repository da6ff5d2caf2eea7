//! Buffers what a backend has sent. Small at first, grows with the input, and returns to the thread after the
//! exchange, so that idle connections hold no buffer.

use std::cell::RefCell;

use super::MAX_REPLY_HEAD_BYTES;

/// Room for an answer's head and a small body.
const FIRST_BYTES: usize = 8 << 10;
/// Size of one read of a large body, and limit of a head, which must fit completely.
const MAX_BYTES: usize = MAX_REPLY_HEAD_BYTES;
/// Buffers that a thread keeps for its next exchanges.
const MAX_SPARE: usize = 2;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// See the module.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// An empty input, with a spare buffer of this thread if there is one.
    pub fn new() -> Input {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        Input { bytes: spare.unwrap_or_else(|| vec![0; FIRST_BYTES]), start: 0, end: 0 }
    }

    /// The buffered bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing is buffered.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the buffered bytes reach the limit.
    pub fn is_full(&self) -> bool {
        self.end - self.start >= MAX_BYTES
    }

    /// Removes bytes from the start.
    pub fn consume(&mut self, amount: usize) {
        self.start += amount;
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// The space to read into; empty only if the input is full.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() && self.bytes.len() < MAX_BYTES {
            self.bytes.resize((self.bytes.len() * 2).min(MAX_BYTES), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Adds bytes that were read into the room.
    pub fn filled(&mut self, amount: usize) {
        self.end += amount;
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_bound_and_keeps_what_is_unread() {
        let mut input = Input::new();
        let mut written = 0u8;
        while !input.is_full() {
            let room = input.room();
            let amount = room.len().min(1000);
            room[..amount].fill(written);
            input.filled(amount);
            written = written.wrapping_add(1);
        }
        assert_eq!(input.bytes().len(), MAX_BYTES);
        assert!(input.room().is_empty());
        input.consume(1000);
        assert_eq!(input.bytes()[0], 1);
        assert_eq!(input.room().len(), 1000);
    }

    #[test]
    fn a_thread_uses_its_buffers_again() {
        drop(Input::new());
        let before = SPARE.with_borrow(Vec::len);
        let input = Input::new();
        assert_eq!(SPARE.with_borrow(Vec::len), before - 1);
        drop(input);
        assert_eq!(SPARE.with_borrow(Vec::len), before);
    }
}
