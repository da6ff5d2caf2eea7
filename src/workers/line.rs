//! The line before the workers, as the steward sees it: what has waited too long, or whose client has
//! gone, is taken out of it.
//!
//! The channel itself can't be looked into. So a request that finds no free worker goes in as a ticket
//! to a place that both the worker and the steward can empty; one that finds a free worker goes in as
//! it is and costs nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::job::Job;

/// What goes through the channel.
pub(super) enum Waiting {
    /// A worker is free.
    Shortly(Box<Job>),
    /// It may take a while.
    InLine(Arc<Mutex<Option<Job>>>),
}

impl Waiting {
    pub fn shortly(job: Job) -> Waiting {
        Waiting::Shortly(Box::new(job))
    }

    /// The job, if nobody took it before. Takes a lock.
    pub fn take(self) -> Option<Job> {
        match self {
            Waiting::Shortly(job) => Some(*job),
            Waiting::InLine(place) => place.lock().take(),
        }
    }
}

/// Requests that may have to wait, the oldest first.
#[derive(Default)]
pub(super) struct Line {
    places: Mutex<VecDeque<Arc<Mutex<Option<Job>>>>>,
    /// Tickets in the channel whose request was taken out.
    void: AtomicUsize,
}

impl Line {
    /// Adds a request. Takes a lock.
    pub fn join(&self, job: Job) -> Waiting {
        let place = Arc::new(Mutex::new(Some(job)));
        self.places.lock().push_back(Arc::clone(&place));
        Waiting::InLine(place)
    }

    /// Tickets in the channel that nobody waits with any more.
    pub fn void(&self) -> usize {
        self.void.load(Relaxed)
    }

    /// One of them has left the channel.
    pub fn void_ticket_left(&self) {
        self.void.fetch_sub(1, Relaxed);
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
                self.void.fetch_add(1, Relaxed);
                return false;
            }
            true
        });
        overdue
    }
}
