//! Which clients move: one entry for each, of a few bytes, and a bound on their number.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::pool::ClientKey;

/// Clients that are told apart; those beyond are counted in no total. Some 40 MB.
const MAX_CLIENTS: usize = 1_000_000;

/// See the module.
#[derive(Default)]
pub struct Clients {
    /// By a hash of its address or key; of each, a bit for each simulation in which it moves.
    moves: HashMap<u64, u8>,
    hasher: RandomState,
    /// Whether there was no room for some.
    pub is_full: bool,
    /// Whether there was anything to compare with.
    pub is_compared: bool,
}

/// One client while its request begins.
pub struct Seen<'a> {
    moves: &'a mut u8,
    is_new: bool,
    is_compared: &'a mut bool,
}

impl Clients {
    /// The client of a request; `None` where there is no room for it.
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

    /// How many there are.
    pub fn count(&self) -> usize {
        self.moves.len()
    }

    /// How many move in the simulation of this index.
    pub fn moved(&self, index: usize) -> usize {
        self.moves.values().filter(|moves| **moves & (1 << index) != 0).count()
    }
}

impl Seen<'_> {
    /// Whether this is its first request.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Notes whether it moves in the simulation of this index; the last word counts.
    pub fn set(&mut self, index: usize, moves: bool) {
        *self.is_compared = true;
        *self.moves = *self.moves & !(1 << index) | u8::from(moves) << index;
    }
}
