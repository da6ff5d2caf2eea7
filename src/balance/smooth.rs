//! Smooth weighted round robin as in nginx: exact over a full cycle, and with the turns of each backend
//! spread out.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::pool::Candidate;

/// The state of the rotation.
#[derive(Default)]
pub struct Smooth {
    /// The turn while all shares are equal: one `fetch_add` a pick, so no two picks get the same turn.
    turn: AtomicUsize,
    /// By place: how much each backend is owed.
    owed: Mutex<Vec<i64>>,
}

impl Smooth {
    /// The index in `candidates` of the next backend. A retry takes no turn: with two backends of which one
    /// refuses, its turn would make the next request start with the refusing one again. Takes a lock if
    /// shares differ.
    pub fn next(&self, candidates: &[Candidate<'_>], is_retry: bool) -> usize {
        let equal = candidates.windows(2).all(|pair| pair[0].share == pair[1].share);
        if equal {
            let turn = if is_retry { self.turn.load(Relaxed) } else { self.turn.fetch_add(1, Relaxed) };
            return turn % candidates.len();
        }
        let mut owed = self.owed.lock();
        let last_place = candidates.iter().map(|candidate| candidate.place).max().unwrap_or(0);
        if owed.len() <= last_place {
            owed.resize(last_place + 1, 0);
        }
        let (mut chosen, mut most, mut total) = (0, i64::MIN, 0);
        for (index, candidate) in candidates.iter().enumerate() {
            let due = owed[candidate.place] + i64::from(candidate.share);
            total += i64::from(candidate.share);
            if due > most {
                (chosen, most) = (index, due);
            }
            if !is_retry {
                owed[candidate.place] = due;
            }
        }
        if !is_retry {
            owed[candidates[chosen].place] -= total;
        }
        chosen
    }
}
