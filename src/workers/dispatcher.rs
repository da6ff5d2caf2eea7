//! Hands requests to the workers.
//!
//! A request that comes by itself wakes a worker. In a rush (see [`Sink::begin_rush`]) that would be two
//! switches between threads for each request, most of what it costs; so there a request waits for a worker
//! that is done with its last one, and others are woken only for what has waited from one look to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::aside::Side;
use super::idle::{Bed, IdleWorkers};
use super::line::Waiting;
use super::pacer::{self, Pacer, Seen};
use super::processors::Processors;
use super::{InFlight, Job, Queue};
use crate::endpoints;
use crate::frontend::{ClientRequest, More, Sink};
use crate::metrics::Tally;
use crate::proxy::Refusal;

/// See the module.
pub struct Dispatcher {
    queue: Queue,
    /// How many may wait.
    max_queue: Box<dyn Fn() -> usize + Send + Sync>,
    /// Jobs that workers have taken from the queue.
    taken: AtomicU64,
    idle: IdleWorkers,
    /// Workers in the pool ...
    workers: usize,
    /// ... and those that have left it with a request.
    streams: Arc<AtomicUsize>,
    /// In a rush, that many are always awake if there is work.
    min_awake: usize,
    side: Side,
    in_flight: Arc<InFlight>,
    is_rush: AtomicBool,
    /// What came in during a rush and was not looked at yet.
    more: RwLock<Option<More>>,
    looks: Mutex<(Pacer, Processors)>,
    /// Of what was taken, jobs that workers are done with.
    done: AtomicU64,
    /// See [`Seen::job_takes`], in microseconds.
    job_takes_us: AtomicU64,
}

/// Most tickets of requests that were taken out, as long as no worker comes to throw them away.
const MAX_VOID: usize = 1 << 16;
/// One runs while another waits for its backend.
const AWAKE_PER_PROCESSOR: usize = 2;
/// The newest job counts one part in this many ...
const RECENT: u64 = 64;
/// ... but no longer than this, so that a stream of minutes does not make all others look slow.
const LONGEST: Duration = Duration::from_millis(20);

impl Dispatcher {
    pub(super) fn new(
        (workers, streams): (usize, Arc<AtomicUsize>),
        queue: Queue,
        max_queue: Box<dyn Fn() -> usize + Send + Sync>,
        side: Side,
        in_flight: Arc<InFlight>,
    ) -> Dispatcher {
        Dispatcher {
            queue,
            max_queue,
            taken: AtomicU64::new(0),
            idle: IdleWorkers::default(),
            workers,
            streams,
            min_awake: AWAKE_PER_PROCESSOR * thread::available_parallelism().map_or(1, usize::from),
            side,
            in_flight,
            is_rush: AtomicBool::new(false),
            more: RwLock::default(),
            looks: Mutex::new((Pacer::default(), Processors::new(Instant::now()))),
            done: AtomicU64::new(0),
            job_takes_us: AtomicU64::new(0),
        }
    }

    /// The next job for a worker, which waits for it; `None` where its request has been taken out
    /// meanwhile. Takes locks.
    pub(super) fn next(&self, bed: &Arc<Bed>) -> Option<Job> {
        let job = self.next_in_line(bed).take();
        if job.is_none() {
            self.queue.line.void_ticket_left();
            self.done.fetch_add(1, Relaxed);
        }
        job
    }

    fn next_in_line(&self, bed: &Arc<Bed>) -> Waiting {
        loop {
            if let Some(waiting) = self.try_next() {
                return waiting;
            }
            if self.is_rush.load(Relaxed) {
                self.take_in_more();
                if let Some(waiting) = self.try_next() {
                    return waiting;
                }
            }
            self.idle.sleep(bed, || !self.queue.waiting.is_empty());
        }
    }

    fn try_next(&self) -> Option<Waiting> {
        let waiting = self.queue.waiting.try_recv().ok()?;
        self.taken.fetch_add(1, Relaxed);
        Some(waiting)
    }

    /// A worker has had a job for so long. Workers may overwrite each other's, and it is as good.
    pub(super) fn job_took(&self, time: Duration) {
        self.done.fetch_add(1, Relaxed);
        let before = self.job_takes_us.load(Relaxed);
        let now = before - before / RECENT + time.min(LONGEST).as_micros() as u64 / RECENT;
        self.job_takes_us.store(now, Relaxed);
    }

    fn take_in_more(&self) {
        // Whoever looks at the moment does it for all.
        let more = self.more.try_read().and_then(|more| more.clone());
        if let Some(more) = more {
            more();
        }
    }

    fn job_takes(&self) -> Duration {
        Duration::from_micros(self.job_takes_us.load(Relaxed))
    }

    /// See [`Side::refuse`].
    pub(super) fn refuse(&self, job: Job, why: Refusal) {
        self.side.refuse(job, why);
    }

    /// Where backends are slow and there are processors to spare, each request needs a worker of its own
    /// in any case, and at once. Takes a lock.
    fn is_worth_a_rush(&self, now: Instant) -> bool {
        let (pacer, processors) = &mut *self.looks.lock();
        pacer.reset();
        let are_busy = processors.are_busy(now);
        self.job_takes() < pacer::SLOW || are_busy == Some(true)
    }

    /// Workers that have no job, asleep or not: as many of those that wait will not wait long.
    fn without_a_job(&self) -> usize {
        let done = self.done.load(Relaxed);
        let jobs = self.taken.load(Relaxed).saturating_sub(done) as usize;
        self.workers.saturating_sub(jobs.saturating_sub(self.streams.load(Relaxed)))
    }

    fn awake(&self) -> usize {
        self.workers.saturating_sub(self.idle.count())
    }

    fn wake(&self, workers: usize) {
        let _ = (0..workers).all(|_| self.idle.wake());
    }
}

impl Sink for Dispatcher {
    fn take(&self, request: ClientRequest) {
        let entry = self.in_flight.enter(&request);
        let mut job = Job { request, refusal: None, _entry: entry };
        if endpoints::is_own(job.request.head.path()) {
            match self.side.own_page(job) {
                None => return,
                Some(back) => job = back,
            }
        }
        let waiting = self.queue.length();
        // With a worker free it will hardly wait; else the steward must be able to take it out.
        let ticket = if self.idle.count() > waiting {
            Waiting::shortly(job)
        } else if waiting < (self.max_queue)() + self.without_a_job() && self.queue.line.void() < MAX_VOID {
            self.queue.line.join(job)
        } else {
            return self.side.refuse(job, Refusal::QueueFull);
        };
        // The receiver is our own, so it is there.
        let _ = self.queue.sender.send(ticket);
        if !self.is_rush.load(SeqCst) || self.awake() < self.min_awake {
            self.wake(1);
        }
    }

    fn refused(&self, reason: &'static str) {
        self.side.count(Tally::of_refused_head(reason));
    }

    fn in_flight(&self) -> usize {
        self.in_flight.active() as usize
    }

    fn begin_rush(&self, more: More) -> bool {
        if !self.is_worth_a_rush(Instant::now()) {
            return false;
        }
        let mut current = self.more.write();
        if current.is_some() {
            return false;
        }
        *current = Some(more);
        drop(current);
        self.is_rush.store(true, SeqCst);
        true
    }

    fn look(&self) -> bool {
        let now = Instant::now();
        let mut looks = self.looks.lock();
        let (pacer, processors) = &mut *looks;
        let seen = Seen {
            taken: self.taken.load(Relaxed),
            done: self.done.load(Relaxed),
            waiting: self.queue.waiting.len() as u64,
            job_takes: self.job_takes(),
            processors_are_busy: processors.are_busy(now),
        };
        let woken = pacer.look(seen, now);
        drop(looks);
        self.wake(woken as usize);
        seen.waiting > 0
    }

    fn end_rush(&self) {
        self.is_rush.store(false, SeqCst);
        *self.more.write() = None;
        self.wake(self.queue.waiting.len());
    }
}
