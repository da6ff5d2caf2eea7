//! Threads that answer requests outside the worker pool: requests for the balancer's own pages, which must
//! work even if all workers are busy, and refusals that may have to wait for a client.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::job::{Handler, Job, STACK_BYTES, handle_safely};
use crate::metrics::Tally;
use crate::proxy::Refusal;
use crate::supervised;

/// Jobs that each of the two channels holds. Past that, requests for own pages go to the workers' queue, and
/// connections of refusals are reset.
const MAX_QUEUED: usize = 256;
/// Threads for each channel; more than one, since a page may take a moment and a client may be slow.
const THREADS: usize = 2;

/// See the module.
pub(super) struct ControlLane {
    handler: Handler,
    refusals: Sender<Job>,
    own_pages: Sender<Job>,
    count: Box<dyn Fn(Tally) + Send + Sync>,
}

impl ControlLane {
    /// Starts the threads. `count` receives a tally for each refusal without a request that could be counted.
    ///
    /// # Errors
    /// The operating system's, if it can't start a thread.
    pub fn start(
        handler: &Handler,
        count: impl Fn(Tally) + Send + Sync + 'static,
    ) -> io::Result<ControlLane> {
        let handler = Arc::clone(handler);
        let (refusals, own_pages) = (start("refusals", &handler)?, start("own-pages", &handler)?);
        Ok(ControlLane { handler, refusals, own_pages, count: Box::new(count) })
    }

    /// Refuses the request: on this thread if that can't wait for the client, else on the `refusals` threads.
    /// If their channel is full, resets the connection and counts the request.
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

    /// Queues the request for an own page; returns the job if the channel is full.
    pub fn own_page(&self, job: Job) -> Option<Job> {
        self.own_pages.try_send(job).err().map(|full| full.into_inner())
    }

    /// Counts a tally, see [`ControlLane::start`].
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
