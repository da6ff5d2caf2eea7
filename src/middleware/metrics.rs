//! Counts every request once, after it has ended.

use std::sync::Arc;

use super::link::{Middleware, Next};
use crate::frontend::ClientRequest;
use crate::metrics::{Metrics, Tally};
use crate::pool::Live;
use crate::proxy::Outcome;

/// The only place where requests are counted.
pub struct CountRequests(pub Arc<Metrics>);

impl Middleware for CountRequests {
    fn handle(&self, request: &mut ClientRequest, live: &Live, next: Next<'_>) -> Outcome {
        let outcome = next.run(request, live);
        self.0.record(Tally {
            counts: outcome.counts(),
            retries: u64::from(outcome.attempts.saturating_sub(1)),
            latency: request.received.elapsed(),
            reason: outcome.reason(),
        });
        outcome
    }
}
