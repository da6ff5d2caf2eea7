//! A fixed number of threads on one bounded channel.
//!
//! The frontend hands each request to [`Dispatcher::dispatch`], which never blocks: what finds the
//! queue full is refused by a thread of its own, because writing to a client may wait.

mod in_flight;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

pub use in_flight::{Entry, InFlight};

use crate::frontend::ClientRequest;
use crate::proxy::Refusal;

/// Room for ureq's calls, a relay and a log line; buffers are on the heap.
const STACK_BYTES: usize = 512 << 10;
/// Refusals that may wait to be written; past that the connection is just closed.
const MAX_REFUSALS: usize = 256;

/// A request with its place in the list of those in flight.
pub struct Job {
    /// The request.
    pub request: ClientRequest,
    /// Why it must be refused, where that is known before it is handled.
    pub refusal: Option<Refusal>,
    _entry: Entry,
}

/// What is done with each request.
pub type Handler = Arc<dyn Fn(Job) + Send + Sync>;

/// The requests that wait for a worker.
pub struct Queue {
    sender: Sender<Job>,
    jobs: Receiver<Job>,
}

impl Queue {
    /// An empty queue with room for `max_queue` requests; one at least, for a request has to be
    /// somewhere while a free worker wakes up.
    pub fn new(max_queue: usize) -> Queue {
        let (sender, jobs) = bounded(max_queue.max(1));
        Queue { sender, jobs }
    }

    /// Tells how many are waiting, at any time.
    pub fn length(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let jobs = self.jobs.clone();
        move || jobs.len()
    }
}

/// Hands requests to the workers.
pub struct Dispatcher {
    queue: Sender<Job>,
    refusals: Sender<Job>,
    in_flight: Arc<InFlight>,
}

impl Dispatcher {
    /// Takes in a request. Never blocks; called by the frontend's threads and by workers.
    pub fn dispatch(&self, request: ClientRequest) {
        let entry = self.in_flight.enter(&request);
        let job = Job { request, refusal: None, _entry: entry };
        if let Err(full) = self.queue.try_send(job) {
            let refused = Job { refusal: Some(Refusal::QueueFull), ..full.into_inner() };
            // Dropped where even this is full: the connection is closed.
            let _ = self.refusals.try_send(refused);
        }
    }
}

/// Starts `count` workers on the queue.
///
/// # Errors
/// The operating system's, for a thread that can't be started.
pub fn start(
    count: usize,
    queue: Queue,
    in_flight: Arc<InFlight>,
    queue_timeout: impl Fn() -> Duration + Send + Sync + 'static,
    handler: Handler,
) -> io::Result<Dispatcher> {
    let Queue { sender, jobs } = queue;
    let (refusals, refused) = bounded::<Job>(MAX_REFUSALS);
    let queue_timeout = Arc::new(queue_timeout);
    for number in 0..count {
        let (jobs, handler, queue_timeout) = (jobs.clone(), Arc::clone(&handler), Arc::clone(&queue_timeout));
        let work = move || work(&jobs, &*queue_timeout, &handler);
        Builder::new().name(format!("worker-{number}")).stack_size(STACK_BYTES).spawn(work)?;
    }
    let refuse = move || refused.iter().for_each(|job| handle_safely(&handler, job));
    Builder::new().name("refuser".into()).stack_size(STACK_BYTES).spawn(refuse)?;
    Ok(Dispatcher { queue: sender, refusals, in_flight })
}

fn work(jobs: &Receiver<Job>, queue_timeout: &dyn Fn() -> Duration, handler: &Handler) {
    for mut job in jobs {
        if job.request.received.elapsed() > queue_timeout() {
            job.refusal = Some(Refusal::QueueTimeout);
        }
        handle_safely(handler, job);
    }
}

/// The middleware turns a panic into a 500; a panic outside of it must not cost a worker either.
fn handle_safely(handler: &Handler, job: Job) {
    let _ = catch_unwind(AssertUnwindSafe(|| handler(job)));
}
