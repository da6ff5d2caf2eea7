//! Counts the clients that move to another backend: one entry of a few bytes for each, and a limit of their
//! number.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::pool::ClientKey;

/// Limit of clients distinguished; further ones are not counted. About 40 MB.
const MAX_CLIENTS: usize = 1_000_000;

/// See the module.
#[derive(Default)]
pub struct Clients {
    /// By a hash of the client's address or key; each value has one bit for each simulation in which the
    /// client moves.
    moves: HashMap<u64, u8>,
    hasher: RandomState,
    /// Whether the limit was reached.
    pub is_full: bool,
    /// Whether there was anything to compare with.
    pub is_compared: bool,
}

/// The client of a request that begins.
pub struct Seen<'a> {
    moves: &'a mut u8,
    is_new: bool,
    is_compared: &'a mut bool,
}

impl Clients {
    /// The client of a request; `None` if the limit is reached.
    pub fn seen(&mut self, client: &ClientKey<'_>) -> Option<Seen<'_>> {
        let hash = match client.key {
            Some(key) => self.hasher.hash_one(key),
            None => self.hasher.hash_one(client.address),
        };
        let is_new = !self.moves.contains_key(&hash);
        if is_new && self.moves.len() >= MAX_CLIENTS {
            self.is_full = true;
            return None;
        }
        let moves = self.moves.entry(hash).or_default();
        Some(Seen { moves, is_new, is_compared: &mut self.is_compared })
    }

    /// Number of clients.
    pub fn count(&self) -> usize {
        self.moves.len()
    }

    /// Number of clients that move in the simulation with this index.
    pub fn moved(&self, index: usize) -> usize {
        self.moves.values().filter(|moves| **moves & (1 << index) != 0).count()
    }
}

impl Seen<'_> {
    /// Whether this is the client's first request.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Notes whether the client moves in the simulation with this index; the last call counts.
    pub fn set(&mut self, index: usize, moves: bool) {
        *self.is_compared = true;
        *self.moves = *self.moves & !(1 << index) | u8::from(moves) << index;
    }
}
