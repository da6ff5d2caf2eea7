//! The queue of requests that wait for a worker.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::tickets::{Queued, Tickets};

/// The queue of requests that wait for a worker. The channel is unbounded: the dispatcher checks the limit
/// for each request, because a reload may change it and cancelled tickets stay in the channel. A clone is the
/// same queue.
#[derive(Clone)]
pub struct Queue {
    pub(super) sender: Sender<Queued>,
    pub(super) waiting: Receiver<Queued>,
    pub(super) tickets: Arc<Tickets>,
}

impl Default for Queue {
    fn default() -> Queue {
        let (sender, waiting) = unbounded();
        Queue { sender, waiting, tickets: Arc::default() }
    }
}

impl Queue {
    /// How many requests are waiting.
    pub fn length(&self) -> usize {
        self.waiting.len().saturating_sub(self.tickets.cancelled())
    }
}
