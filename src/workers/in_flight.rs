//! Requests in flight, each from its head to its answer's last byte: for the metrics, the log lines of a
//! drain, and the summary at its end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::frontend::ClientRequest;
use crate::http::RequestHead;

/// Shards of the list, each with a lock, to reduce contention.
const SHARDS: usize = 16;

struct Current {
    head: Arc<RequestHead>,
    client: IpAddr,
    since: Instant,
}

/// All requests in flight.
pub struct InFlight {
    accepted: AtomicU64,
    answered: AtomicU64,
    /// Requests being handled now ...
    handled: AtomicU64,
    /// ... and those for the balancer's own pages, queued or handled.
    own_pages: AtomicU64,
    shards: [Mutex<HashMap<u64, Current>>; SHARDS],
    ended: (Sender<()>, Receiver<()>),
}

impl Default for InFlight {
    fn default() -> Self {
        InFlight {
            accepted: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            own_pages: AtomicU64::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            ended: bounded(1),
        }
    }
}

/// A request's entry in the list; dropping it removes the request.
pub struct Entry {
    list: Arc<InFlight>,
    number: u64,
    kind: Kind,
}

/// How a request in flight is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Waits for a worker.
    Queued,
    /// Being handled.
    Handled,
    /// For one of the balancer's own pages.
    OwnPage,
}

impl Entry {
    /// The request is being handled from now on.
    pub fn is_handled(&mut self) {
        if self.kind == Kind::Queued {
            self.kind = Kind::Handled;
            self.list.handled.fetch_add(1, Relaxed);
        }
    }

    /// The request is for one of the balancer's own pages, which the figures on those pages exclude.
    pub fn is_own_page(&mut self) {
        self.kind = Kind::OwnPage;
        self.list.own_pages.fetch_add(1, Relaxed);
    }
}

impl InFlight {
    /// Adds a request. Takes a lock.
    pub fn enter(self: &Arc<Self>, request: &ClientRequest) -> Entry {
        let number = self.accepted.fetch_add(1, Relaxed);
        let current =
            Current { head: Arc::clone(&request.head), client: request.peer.ip(), since: request.received };
        self.shards[number as usize % SHARDS].lock().insert(number, current);
        Entry { list: Arc::clone(self), number, kind: Kind::Queued }
    }

    /// Requests being handled, without those for own pages.
    pub fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }

    /// Requests in flight for own pages.
    pub fn own_pages(&self) -> u64 {
        self.own_pages.load(Relaxed)
    }

    /// Requests so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Requests that have ended.
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Requests in flight.
    pub fn active(&self) -> u64 {
        // `answered` is read first: a request that ends in between must not make the result negative.
        let answered = self.answered();
        self.accepted().saturating_sub(answered)
    }

    /// Requests in flight, counted from the list itself. Takes locks, one after the other.
    pub fn listed(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().len() as u64).sum()
    }

    /// Receives a message if any request has ended since the last one.
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended.1
    }

    /// The oldest `most` requests, as `GET /slow from 192.0.2.7 for 3.2s`. Takes locks, one after the other.
    pub fn oldest(&self, most: usize) -> Vec<String> {
        let mut all: Vec<(Duration, String)> = Vec::new();
        for shard in &self.shards {
            for current in shard.lock().values() {
                let (age, head) = (current.since.elapsed(), &current.head);
                let text = format!("{} {} from {}", head.method, head.path(), current.client);
                all.push((age, format!("{text} for {:.1}s", age.as_secs_f64())));
            }
        }
        all.sort_by(|one, other| other.cmp(one));
        all.into_iter().take(most).map(|(_, text)| text).collect()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.shards[self.number as usize % SHARDS].lock().remove(&self.number);
        match self.kind {
            Kind::Queued => {}
            Kind::Handled => _ = self.list.handled.fetch_sub(1, Relaxed),
            Kind::OwnPage => _ = self.list.own_pages.fetch_sub(1, Relaxed),
        }
        self.list.answered.fetch_add(1, Relaxed);
        // If the channel is full, its message is still to be received.
        let _ = self.list.ended.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fakes;

    #[test]
    fn accepted_is_answered_and_active_at_any_time() {
        let list = Arc::new(InFlight::default());
        let (request, _) = fakes::get("/slow?x");
        let (mut one, mut two) = (list.enter(&request), list.enter(&request));
        assert_eq!((list.accepted(), list.answered(), list.active()), (2, 0, 2));
        assert_eq!((list.handled(), list.own_pages()), (0, 0), "both wait");
        one.is_handled();
        two.is_own_page();
        two.is_handled();
        assert_eq!((list.handled(), list.own_pages()), (1, 1));
        assert!(list.oldest(1)[0].starts_with("GET /slow from 127.0.0.1 for 0."));
        drop(one);
        assert_eq!((list.accepted(), list.answered(), list.active()), (2, 1, 1));
        assert_eq!((list.handled(), list.own_pages()), (0, 1));
        assert!(list.ended().try_recv().is_ok());
        drop(two);
        assert!(list.oldest(9).is_empty());
    }
}
