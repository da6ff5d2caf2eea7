//! A request on its way through the pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::in_flight::Entry;
use crate::frontend::ClientRequest;
use crate::proxy::Refusal;

/// Enough for the transport's calls, a relay and a log line; buffers are on the heap.
pub(super) const STACK_BYTES: usize = 512 << 10;

/// A request with its entry in the list of those in flight.
pub struct Job {
    /// The request.
    pub request: ClientRequest,
    /// Why to refuse the request, if that is known before it is handled.
    pub refusal: Option<Refusal>,
    pub(super) entry: Entry,
}

/// Handles a request.
pub type Handler = Arc<dyn Fn(Job) + Send + Sync>;

/// The middleware turns a panic into a 500; a panic outside of it must not cost a worker either.
pub(super) fn handle_safely(handler: &Handler, mut job: Job) {
    job.entry.is_handled();
    let _ = catch_unwind(AssertUnwindSafe(|| handler(job)));
}
