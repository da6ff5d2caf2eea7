//! Hands requests to the workers.
//!
//! A request that comes by itself wakes a worker. In a rush (see [`Sink::begin_rush`]) that would be two
//! switches between threads for each request, most of what it costs; so there a request waits for a worker
//! that is done with its last one, and others are woken only for what has waited from one look to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Mutex, RwLock};

use super::idle::{Bed, IdleWorkers};
use super::line::{Line, Waiting};
use super::{InFlight, Job};
use crate::frontend::{ClientRequest, More, Sink};
use crate::proxy::Refusal;

/// See the module.
pub struct Dispatcher {
    queue: Sender<Waiting>,
    waiting: Receiver<Waiting>,
    /// Jobs that workers have taken from the queue.
    taken: AtomicU64,
    idle: IdleWorkers,
    line: Arc<Line>,
    refusals: Sender<Job>,
    in_flight: Arc<InFlight>,
    is_rush: AtomicBool,
    /// What came in during a rush and was not looked at yet.
    more: RwLock<Option<More>>,
    last_look: Mutex<Look>,
}

/// What was seen at the last look during a rush.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    /// Jobs in the queue.
    waiting: u64,
    /// Jobs that had been taken from it.
    taken: u64,
    /// Workers woken for what had waited too long.
    woken: usize,
}

impl Look {
    /// How many of the jobs seen last are still waiting, for the queue is first in, first out.
    fn left_waiting(&self, taken: u64) -> usize {
        self.waiting.saturating_sub(taken - self.taken) as usize
    }
}

impl Dispatcher {
    pub(super) fn new(
        (queue, waiting): (Sender<Waiting>, Receiver<Waiting>),
        line: Arc<Line>,
        refusals: Sender<Job>,
        in_flight: Arc<InFlight>,
    ) -> Dispatcher {
        Dispatcher {
            queue,
            waiting,
            taken: AtomicU64::new(0),
            idle: IdleWorkers::default(),
            line,
            refusals,
            in_flight,
            is_rush: AtomicBool::new(false),
            more: RwLock::default(),
            last_look: Mutex::default(),
        }
    }

    /// The next job for a worker, which waits for it. Takes locks.
    pub(super) fn next(&self, bed: &Arc<Bed>) -> Waiting {
        loop {
            if self.is_rush.load(Relaxed) {
                self.take_in_more();
            }
            if let Ok(waiting) = self.waiting.try_recv() {
                self.taken.fetch_add(1, Relaxed);
                return waiting;
            }
            self.idle.sleep(bed, || !self.waiting.is_empty());
        }
    }

    fn take_in_more(&self) {
        // Whoever looks at the moment does it for all.
        let more = self.more.try_read().and_then(|more| more.clone());
        if let Some(more) = more {
            more();
        }
    }

    fn wake(&self, workers: usize) {
        for _ in 0..workers {
            if !self.idle.wake() {
                return;
            }
        }
    }
}

impl Sink for Dispatcher {
    fn take(&self, request: ClientRequest) {
        let entry = self.in_flight.enter(&request);
        let job = Job { request, refusal: None, _entry: entry };
        // With a worker free it will hardly wait; else the steward must be able to take it out.
        let waiting =
            if self.idle.count() > self.queue.len() { Waiting::shortly(job) } else { self.line.join(job) };
        match self.queue.try_send(waiting) {
            Ok(()) if self.is_rush.load(SeqCst) => {}
            Ok(()) => self.wake(1),
            Err(full) => {
                if let Some(job) = full.into_inner().take() {
                    let refused = Job { refusal: Some(Refusal::QueueFull), ..job };
                    // Dropped where even this is full: the connection is closed.
                    let _ = self.refusals.try_send(refused);
                }
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight.active() as usize
    }

    fn begin_rush(&self, more: More) -> bool {
        let mut current = self.more.write();
        let is_first = current.is_none();
        if is_first {
            *current = Some(more);
            *self.last_look.lock() = Look { taken: self.taken.load(Relaxed), ..Look::default() };
            self.is_rush.store(true, SeqCst);
        }
        is_first
    }

    /// Twice as many each time while it is not enough: slow backends need them all within a few looks.
    fn look(&self) {
        let (waiting, taken) = (self.queue.len() as u64, self.taken.load(Relaxed));
        let mut last = self.last_look.lock();
        let left = last.left_waiting(taken);
        let woken = if left == 0 { 0 } else { left.min((last.woken * 2).max(1)) };
        *last = Look { waiting, taken, woken };
        drop(last);
        self.wake(woken);
    }

    fn end_rush(&self) {
        self.is_rush.store(false, SeqCst);
        *self.more.write() = None;
        self.wake(self.queue.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_waiting_and_was_not_taken_is_left_waiting() {
        let last = Look { waiting: 5, taken: 100, woken: 0 };
        assert_eq!([100, 103, 105, 900].map(|taken| last.left_waiting(taken)), [5, 2, 0, 0]);
    }
}
