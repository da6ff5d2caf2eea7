//! `round_robin`: strict rotation, 1 2 3 1 2 3.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::pool::{Backend, Balancer, ClientKey};

/// One counter for all workers; one `fetch_add` a pick, so no two picks see the same turn.
#[derive(Default)]
pub struct RoundRobin {
    turn: AtomicUsize,
}

impl Balancer for RoundRobin {
    fn pick(&self, candidates: &[&Arc<Backend>], client: &ClientKey) -> usize {
        // A retry that took a turn would always lead the next request to the same backend again: of
        // two, the one that refuses.
        let turn = if client.is_retry { self.turn.load(Relaxed) } else { self.turn.fetch_add(1, Relaxed) };
        turn % candidates.len()
    }
}
