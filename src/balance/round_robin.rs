//! `round_robin`: strict rotation, 1 2 3 1 2 3.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::next_turn;
use crate::pool::{Backend, Balancer, ClientKey};

/// One counter for all workers; one `fetch_add` a pick, so no two picks see the same turn.
#[derive(Default)]
pub struct RoundRobin {
    turn: AtomicUsize,
}

impl Balancer for RoundRobin {
    fn pick(&self, candidates: &[&Arc<Backend>], client: &ClientKey) -> usize {
        let turn = next_turn(&self.turn, client);
        turn % candidates.len()
    }
}
