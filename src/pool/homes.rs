//! The backend that a hash algorithm gives each client while all backends are healthy and have room. A reload
//! compares the homes before and after it.

use std::sync::Arc;

use super::backend::FULL_SHARE;
use super::{Backend, Candidate, ClientKey, Pool};

/// A pool by its weights and backups alone, regardless of health and load.
pub struct Homes<'p> {
    pool: &'p Pool,
    candidates: Vec<Candidate<'p>>,
}

impl Pool {
    /// The pool's [`Homes`]. Claims nothing.
    pub fn homes(&self) -> Homes<'_> {
        let of_kind = |backup| -> Vec<Candidate<'_>> {
            let all = self.backends.iter().enumerate();
            all.filter(|(_, backend)| backend.weight() > 0 && backend.is_backup() == backup)
                .map(|(place, backend)| {
                    let share = backend.weight().saturating_mul(FULL_SHARE);
                    Candidate { backend, place, share }
                })
                .collect()
        };
        let first = of_kind(false);
        let candidates = if first.is_empty() { of_kind(true) } else { first };
        Homes { pool: self, candidates }
    }
}

impl Homes<'_> {
    /// The client's backend; `None` if all backends have weight 0.
    pub fn of(&self, client: &ClientKey<'_>) -> Option<&Arc<Backend>> {
        if self.candidates.is_empty() {
            return None;
        }
        let chosen = self.pool.balancer.pick(&self.candidates, client);
        self.candidates.get(chosen).map(|candidate| candidate.backend)
    }

    /// How many backends clients are spread over.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }
}
