//! Those beside the pool: who writes refusals, and who answers requests for the balancer's own pages, which
//! must be there when all workers are busy.

use std::io;
use std::sync::Arc;
use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Handler, Job, STACK_BYTES, handle_safely};
use crate::metrics::Tally;
use crate::proxy::Refusal;

/// Refusals that may wait to be written; past that the connection is just reset. And requests for own pages;
/// past that they wait like others.
const MAX_ASIDE: usize = 256;
/// Those who write refusals: each may have to wait for a client that is still sending, see
/// [`crate::frontend::ClientStream::end`].
const REFUSERS: usize = 8;
/// Those who answer requests for the balancer's own pages; more than one, for a client may be slow.
const CLERKS: usize = 2;

/// Where requests go that need no worker.
pub(super) struct Side {
    refusals: Sender<Job>,
    own_pages: Sender<Job>,
    count: Box<dyn Fn(Tally) + Send + Sync>,
}

impl Side {
    /// Starts the threads; `count` is told of what is refused without a request that could be counted.
    ///
    /// # Errors
    /// The operating system's, for a thread.
    pub fn start(handler: &Handler, count: impl Fn(Tally) + Send + Sync + 'static) -> io::Result<Side> {
        let refusals = start("refuser", REFUSERS, handler)?;
        let own_pages = start("clerk", CLERKS, handler)?;
        Ok(Side { refusals, own_pages, count: Box::new(count) })
    }

    /// Has the request refused. Where too many wait for that its connection is reset, because nobody here
    /// may wait for a client, and it is counted.
    pub fn refuse(&self, job: Job, why: Refusal) {
        let refused = Job { refusal: Some(why), ..job };
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

    /// See [`Side::start`].
    pub fn count(&self, tally: Tally) {
        (self.count)(tally);
    }
}

fn start(name: &str, count: usize, handler: &Handler) -> io::Result<Sender<Job>> {
    let (sender, jobs) = bounded(MAX_ASIDE);
    for _ in 0..count {
        let (jobs, handler) = (jobs.clone(), Arc::clone(handler));
        let work = move || handle_all(&jobs, &handler);
        Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(work)?;
    }
    Ok(sender)
}

fn handle_all(jobs: &Receiver<Job>, handler: &Handler) {
    for mut job in jobs {
        if !jobs.is_empty() {
            job.request.responder.hurry();
        }
        handle_safely(handler, job);
    }
}
