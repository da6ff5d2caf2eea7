//! Hands requests to the workers and decides how many workers are awake.
//!
//! Waking a worker for each request costs two thread switches, which is most of the cost of a small request.
//! So a few workers stay awake, and each takes the next request when it has finished one. More are woken if
//! those few wait for slow backends, or if requests wait while processors are idle ([`super::pacer`]).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::control_lane::ControlLane;
use super::idle::{IdleWorkers, Parker};
use super::in_flight::InFlight;
use super::job::Job;
use super::pacer::{Observation, Pacer};
use super::processors::Processors;
use super::queue::Queue;
use super::slot::Slots;
use super::tickets::Queued;
use crate::endpoints;
use crate::frontend::{ClientRequest, Dispatch};
use crate::metrics::Tally;
use crate::proxy::Refusal;

/// See the module.
pub struct Dispatcher {
    queue: Queue,
    /// How many requests may wait.
    max_queue: Box<dyn Fn() -> usize + Send + Sync>,
    /// Jobs that workers have taken from the queue ...
    taken: AtomicU64,
    /// ... and those that they have finished.
    done: AtomicU64,
    idle: IdleWorkers,
    /// Workers in the pool ...
    workers: usize,
    /// ... and those that were detached with a request.
    streams: Arc<AtomicUsize>,
    /// The slots of all workers; set once the workers have been started.
    pub(super) slots: OnceLock<Arc<Slots>>,
    /// How many workers to keep awake while there is work, not counting those held up.
    min_awake: usize,
    /// Workers in the pool that were held up ([`HELD_UP`]) at the last look.
    held_up: AtomicUsize,
    control_lane: ControlLane,
    in_flight: Arc<InFlight>,
    looks: Mutex<Looks>,
    /// See [`Observation::job_takes`], in microseconds.
    job_takes_us: AtomicU64,
}

struct Looks {
    pacer: Pacer,
    processors: Processors,
    last: Instant,
}

/// Limit of cancelled tickets in the channel, which only workers remove; past it, requests are refused.
const MAX_CANCELLED: usize = 1 << 16;
/// Two, so that one worker runs while the other waits for its backend.
const AWAKE_PER_PROCESSOR: usize = 2;
/// Shortest time between two looks.
const LOOK_PAUSE: Duration = Duration::from_micros(500);
/// A worker that has had one request for this long waits for its backend or its client, and is not expected
/// to take the next request.
const HELD_UP: Duration = Duration::from_millis(2);
/// The newest job counts as one part in this many of the average ...
const RECENT: u64 = 64;
/// ... and as at most this long, so that a stream of minutes does not make all jobs look slow.
const LONGEST: Duration = Duration::from_millis(20);

impl Dispatcher {
    pub(super) fn new(
        (workers, streams): (usize, Arc<AtomicUsize>),
        queue: Queue,
        max_queue: Box<dyn Fn() -> usize + Send + Sync>,
        control_lane: ControlLane,
        in_flight: Arc<InFlight>,
    ) -> Dispatcher {
        let now = Instant::now();
        Dispatcher {
            queue,
            max_queue,
            taken: AtomicU64::new(0),
            done: AtomicU64::new(0),
            idle: IdleWorkers::default(),
            workers,
            streams,
            slots: OnceLock::new(),
            min_awake: AWAKE_PER_PROCESSOR * thread::available_parallelism().map_or(1, usize::from),
            held_up: AtomicUsize::new(0),
            control_lane,
            in_flight,
            looks: Mutex::new(Looks { pacer: Pacer::default(), processors: Processors::new(now), last: now }),
            job_takes_us: AtomicU64::new(0),
        }
    }

    /// Waits for the next job; `None` if the queue's next ticket was cancelled. Takes locks.
    pub(super) fn next(&self, parker: &Arc<Parker>) -> Option<Job> {
        let job = self.next_in_line(parker).take();
        if job.is_none() {
            self.queue.tickets.cancelled_ticket_left();
            self.done.fetch_add(1, Relaxed);
        }
        job
    }

    fn next_in_line(&self, parker: &Arc<Parker>) -> Queued {
        loop {
            if let Ok(waiting) = self.queue.waiting.try_recv() {
                self.taken.fetch_add(1, Relaxed);
                return waiting;
            }
            self.idle.sleep(parker, || !self.queue.waiting.is_empty());
        }
    }

    /// Records how long a job took. Concurrent updates may overwrite each other, which does not matter for an
    /// average.
    pub(super) fn job_took(&self, time: Duration) {
        self.done.fetch_add(1, Relaxed);
        let before = self.job_takes_us.load(Relaxed);
        let now = before - before / RECENT + time.min(LONGEST).as_micros() as u64 / RECENT;
        self.job_takes_us.store(now, Relaxed);
    }

    fn job_takes(&self) -> Duration {
        Duration::from_micros(self.job_takes_us.load(Relaxed))
    }

    /// See [`ControlLane::refuse`].
    pub(super) fn refuse(&self, job: Job, why: Refusal) {
        self.control_lane.refuse(job, why);
    }

    /// Workers without a job, parked or not: that many queued requests start at once.
    fn without_a_job(&self) -> usize {
        let done = self.done.load(Relaxed);
        let jobs = self.taken.load(Relaxed).saturating_sub(done) as usize;
        let finishing = self.slots.get().map_or(0, |slots| slots.finishing());
        self.workers.saturating_sub(jobs.saturating_sub(self.streams.load(Relaxed) + finishing))
    }

    /// Workers that will take the next request soon: neither parked nor held up.
    fn attentive(&self) -> usize {
        self.workers.saturating_sub(self.idle.count()).saturating_sub(self.held_up.load(Relaxed))
    }

    /// If backends are slow, each request needs its own worker at once.
    fn are_backends_slow(&self) -> bool {
        self.job_takes() >= HELD_UP
    }

    fn wake(&self, workers: usize) {
        let _ = (0..workers).all(|_| self.idle.wake());
    }
}

impl Dispatch for Dispatcher {
    fn take(&self, request: ClientRequest) {
        let entry = self.in_flight.enter(&request);
        let mut job = Job { request, refusal: None, entry };
        if endpoints::is_own(job.request.head.path()) {
            job.entry.is_own_page();
            match self.control_lane.own_page(job) {
                None => return,
                Some(back) => job = back,
            }
        }
        let waiting = self.queue.length();
        // With an idle worker the request hardly waits; otherwise it gets a ticket, so that the reaper can
        // take it out.
        let ticket = if self.idle.count() > waiting {
            Queued::direct(job)
        } else if waiting < (self.max_queue)() + self.without_a_job()
            && self.queue.tickets.cancelled() < MAX_CANCELLED
        {
            self.queue.tickets.join(job)
        } else {
            return self.control_lane.refuse(job, Refusal::QueueFull);
        };
        // Can't fail: `queue` holds a receiver of the channel.
        let _ = self.queue.sender.send(ticket);
        if self.attentive() < self.min_awake || self.are_backends_slow() {
            self.wake(1);
        }
    }

    fn refused(&self, reason: &'static str) {
        self.control_lane.count(Tally::of_refused_head(reason));
    }

    fn look(&self) -> bool {
        let waiting = self.queue.waiting.len();
        if waiting == 0 {
            return false;
        }
        let now = Instant::now();
        // One thread's look is enough for all.
        let Some(mut looks) = self.looks.try_lock() else { return true };
        if now.saturating_duration_since(looks.last) < LOOK_PAUSE {
            return true;
        }
        looks.last = now;
        let held_up = self.slots.get().map_or(0, |slots| slots.held_up(HELD_UP));
        self.held_up.store(held_up, Relaxed);
        let seen = Observation {
            taken: self.taken.load(Relaxed),
            done: self.done.load(Relaxed),
            waiting: waiting as u64,
            job_takes: self.job_takes(),
            processors_are_busy: looks.processors.are_busy(now),
        };
        let woken = looks.pacer.look(seen, now) as usize;
        drop(looks);
        let lacking = self.min_awake.saturating_sub(self.attentive()).min(waiting);
        self.wake(woken.max(lacking));
        true
    }
}
