//! Who answers beside the pool: requests for the balancer's own pages, which must be there when all workers
//! are busy, and refusals that may have to wait for a client.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::job::{Handler, Job, STACK_BYTES, handle_safely};
use crate::metrics::Tally;
use crate::proxy::Refusal;
use crate::supervised;

/// Requests for own pages that may wait; past that they wait like others. And refusals; past that the
/// connection is just reset.
const MAX_QUEUED: usize = 256;
/// Threads for each; more than one, for a page may take a moment and a client be slow.
const THREADS: usize = 2;

/// See the module.
pub(super) struct ControlLane {
    handler: Handler,
    refusals: Sender<Job>,
    own_pages: Sender<Job>,
    count: Box<dyn Fn(Tally) + Send + Sync>,
}

impl ControlLane {
    /// Starts the threads; `count` is told of what is refused without a request that could be counted.
    ///
    /// # Errors
    /// The operating system's, for a thread.
    pub fn start(
        handler: &Handler,
        count: impl Fn(Tally) + Send + Sync + 'static,
    ) -> io::Result<ControlLane> {
        let handler = Arc::clone(handler);
        let (refusals, own_pages) = (start("refusals", &handler)?, start("own-pages", &handler)?);
        Ok(ControlLane { handler, refusals, own_pages, count: Box::new(count) })
    }

    /// Has the request refused: at once, where that waits for nobody. Where too many wait for it already the
    /// connection is reset, and the request counted.
    pub fn refuse(&self, job: Job, why: Refusal) {
        let refused = Job { refusal: Some(why), ..job };
        if !refused.request.responder.waits_for_client() {
            return handle_safely(&self.handler, refused);
        }
        if let Err(full) = self.refusals.try_send(refused) {
            let mut job = full.into_inner();
            job.request.responder.abandon();
            self.count(Tally::of_unanswered(why.word(), job.request.received.elapsed()));
        }
    }

    /// Has the page sent; gives the request back where too many wait for that.
    pub fn own_page(&self, job: Job) -> Option<Job> {
        self.own_pages.try_send(job).err().map(|full| full.into_inner())
    }

    /// See [`ControlLane::start`].
    pub fn count(&self, tally: Tally) {
        (self.count)(tally);
    }
}

fn start(name: &'static str, handler: &Handler) -> io::Result<Sender<Job>> {
    let (sender, jobs): (_, Receiver<Job>) = bounded(MAX_QUEUED);
    for _ in 0..THREADS {
        let (jobs, handler) = (jobs.clone(), Arc::clone(handler));
        supervised::start(name, STACK_BYTES, move || {
            jobs.iter().for_each(|job| handle_safely(&handler, job))
        })?;
    }
    Ok(sender)
}
