//! A fixed number of worker threads on one channel, with a limit on waiting requests.
//!
//! The frontend hands each request to the [`Dispatcher`], which never blocks. The reaper refuses requests
//! that have waited too long and detaches workers with long answers.

mod control_lane;
mod dispatcher;
mod idle;
#[cfg(test)]
mod idle_tests;
mod in_flight;
mod job;
mod pacer;
mod processors;
mod queue;
mod slot;
#[cfg(test)]
mod slot_tests;
mod tickets;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::Builder;
use std::time::{Duration, Instant};

pub use dispatcher::Dispatcher;
pub use in_flight::{Entry, InFlight};
pub use job::{Handler, Job};
pub use queue::Queue;

use crate::metrics::Tally;
use crate::proxy::Refusal;
use crate::shutdown::ShutdownSignal;
use crate::supervised;
use crate::watch::{Wait, WorkerHandle};
use control_lane::ControlLane;
use idle::Parker;
use job::{STACK_BYTES, handle_safely};
use slot::{Slot, Slots};

/// How often the reaper looks.
const REAPER_PAUSE: Duration = Duration::from_millis(100);

/// Limits that a reload may change, so each use calls the function.
pub struct PoolLimits {
    /// How many requests may wait for a worker.
    pub max_queue: Box<dyn Fn() -> usize + Send + Sync>,
    /// How long a request may wait for a worker.
    pub queue_timeout: Box<dyn Fn() -> Duration + Send + Sync>,
    /// How many workers may be detached from the pool.
    pub max_streams: Box<dyn Fn() -> usize + Send + Sync>,
}

/// How busy the workers are.
pub struct Occupancy(Arc<Slots>);

impl Occupancy {
    /// Answers and tunnels of detached workers.
    pub fn streams(&self) -> usize {
        self.0.streams()
    }

    /// Workers in the pool that have a request. Takes a lock.
    pub fn busy(&self) -> usize {
        self.0.held_up(Duration::ZERO)
    }
}

/// Starts `count` workers on the queue, the reaper and the control lane.
///
/// # Errors
/// The operating system's, for a thread that can't be started.
pub fn start(
    count: usize,
    queue: Queue,
    in_flight: Arc<InFlight>,
    limits: PoolLimits,
    handler: Handler,
    refused: impl Fn(Tally) + Send + Sync + 'static,
    shutdown: ShutdownSignal,
) -> io::Result<(Arc<Dispatcher>, Occupancy)> {
    let tickets = Arc::clone(&queue.tickets);
    let (control_lane, streams) = (ControlLane::start(&handler, refused)?, Arc::default());
    let crew = (count, Arc::clone(&streams));
    let dispatcher = Arc::new(Dispatcher::new(crew, queue, limits.max_queue, control_lane, in_flight));
    let slots = Slots::new(streams, limits.max_streams, spawn_worker(&dispatcher, &handler));
    let _ = dispatcher.slots.set(Arc::clone(&slots));
    if !(0..count).all(|_| slots.fill()) {
        return Err(io::Error::other(format!("the system has no room for {count} workers")));
    }
    let (reapers_slots, reaper) = (Arc::clone(&slots), Arc::clone(&dispatcher));
    let look_after = move || {
        while !shutdown.wait(REAPER_PAUSE) {
            reapers_slots.release_long_answers();
            for job in tickets.overdue((limits.queue_timeout)()) {
                reaper.refuse(job, Refusal::QueueTimeout);
            }
        }
    };
    supervised::start("reaper", STACK_BYTES, look_after)?;
    Ok((dispatcher, Occupancy(slots)))
}

/// Starts a worker's thread for a slot.
fn spawn_worker(
    dispatcher: &Arc<Dispatcher>,
    handler: &Handler,
) -> impl Fn(Arc<Slot>) -> bool + Send + Sync + 'static {
    let number = AtomicUsize::new(0);
    let (dispatcher, handler) = (Arc::clone(dispatcher), Arc::clone(handler));
    move |slot| {
        let (dispatcher, handler) = (Arc::clone(&dispatcher), Arc::clone(&handler));
        let name = format!("worker-{}", number.fetch_add(1, Relaxed));
        let work = move || work(&dispatcher, &handler, &slot);
        Builder::new().name(name).stack_size(STACK_BYTES).spawn(work).is_ok()
    }
}

fn work(dispatcher: &Dispatcher, handler: &Handler, slot: &Arc<Slot>) {
    let parker = Parker::of_this_thread();
    while !slot.should_exit() {
        if let Some(mut job) = dispatcher.next(&parker) {
            job.request.at(Arc::clone(slot) as Arc<dyn WorkerHandle>);
            let began = Instant::now();
            let waited = began.saturating_duration_since(job.request.received);
            job.request.watch.has_waited(Wait::Worker, waited);
            slot.has_job(true);
            handle_safely(handler, job);
            slot.has_job(false);
            dispatcher.job_took(began.elapsed());
        }
    }
}
