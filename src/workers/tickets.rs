//! Lets the reaper take queued requests out: those that have waited too long, and those whose client has
//! gone.
//!
//! A channel can't be searched. So a request that finds no idle worker enters the channel as a ticket: a
//! shared cell that both the worker and the reaper can empty. A request that finds an idle worker enters the
//! channel itself, which costs nothing extra.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::job::Job;

/// An item of the channel.
pub(super) enum Queued {
    /// The request itself: a worker is idle.
    Direct(Box<Job>),
    /// A ticket: the request may wait for a while.
    Ticket(Arc<Mutex<Option<Job>>>),
}

impl Queued {
    pub fn direct(job: Job) -> Queued {
        Queued::Direct(Box::new(job))
    }

    /// The job, unless the reaper has taken it. Takes a lock.
    pub fn take(self) -> Option<Job> {
        match self {
            Queued::Direct(job) => Some(*job),
            Queued::Ticket(place) => place.lock().take(),
        }
    }
}

/// The requests behind the tickets, the oldest first.
#[derive(Default)]
pub(super) struct Tickets {
    places: Mutex<VecDeque<Arc<Mutex<Option<Job>>>>>,
    /// Tickets in the channel whose request the reaper has taken out.
    cancelled: AtomicUsize,
}

impl Tickets {
    /// Adds a request. Takes a lock.
    pub fn join(&self, job: Job) -> Queued {
        let place = Arc::new(Mutex::new(Some(job)));
        self.places.lock().push_back(Arc::clone(&place));
        Queued::Ticket(place)
    }

    /// Tickets in the channel whose request the reaper has taken out.
    pub fn cancelled(&self) -> usize {
        self.cancelled.load(Relaxed)
    }

    /// A cancelled ticket has left the channel.
    pub fn cancelled_ticket_left(&self) {
        self.cancelled.fetch_sub(1, Relaxed);
    }

    /// Takes out requests that have waited for `limit` or whose client has gone. Takes two locks, the list's
    /// first; this is the only place that holds both, so they can't deadlock.
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
