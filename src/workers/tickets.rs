//! Queued requests as the reaper sees them: it takes out those that have waited too long, and those whose
//! client has gone.
//!
//! The channel itself can't be searched. So a request that finds no free worker goes in as a ticket
//! to a place that both the worker and the reaper can empty; one that finds a free worker goes in as
//! it is and costs nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::job::Job;

/// What goes through the channel.
pub(super) enum Queued {
    /// A worker is free.
    Direct(Box<Job>),
    /// It may take a while.
    Ticket(Arc<Mutex<Option<Job>>>),
}

impl Queued {
    pub fn direct(job: Job) -> Queued {
        Queued::Direct(Box::new(job))
    }

    /// The job, if nobody took it before. Takes a lock.
    pub fn take(self) -> Option<Job> {
        match self {
            Queued::Direct(job) => Some(*job),
            Queued::Ticket(place) => place.lock().take(),
        }
    }
}

/// Requests that may have to wait, the oldest first.
#[derive(Default)]
pub(super) struct Tickets {
    places: Mutex<VecDeque<Arc<Mutex<Option<Job>>>>>,
    /// Tickets in the channel whose request was taken out.
    cancelled: AtomicUsize,
}

impl Tickets {
    /// Adds a request. Takes a lock.
    pub fn join(&self, job: Job) -> Queued {
        let place = Arc::new(Mutex::new(Some(job)));
        self.places.lock().push_back(Arc::clone(&place));
        Queued::Ticket(place)
    }

    /// Tickets in the channel that nobody waits with any more.
    pub fn cancelled(&self) -> usize {
        self.cancelled.load(Relaxed)
    }

    /// One of them has left the channel.
    pub fn cancelled_ticket_left(&self) {
        self.cancelled.fetch_sub(1, Relaxed);
    }

    /// Takes out what has waited for `limit`, and whose client has gone. Takes locks, the line's first:
    /// the one place where two are held, and nobody takes them the other way round.
    pub fn overdue(&self, limit: Duration) -> Vec<Job> {
        let mut overdue = Vec::new();
        self.places.lock().retain(|place| {
            let mut job = place.lock();
            let Some(waiting) = job.as_ref() else { return false };
            let request = &waiting.request;
            if request.received.elapsed() >= limit || request.watch.has_client_ended() {
                overdue.extend(job.take());
                self.cancelled.fetch_add(1, Relaxed);
                return false;
            }
            true
        });
        overdue
    }
}
