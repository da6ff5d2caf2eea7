//! What the guard, which sees a request's connection, and the worker, which has the request, tell each
//! other while it is in flight.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

/// Something that a thread may be waiting in.
pub trait Interrupt: std::fmt::Debug + Send + Sync {
    /// Ends the wait, and every later one. Must not block.
    fn interrupt(&self);
}

/// A worker's place in the pool, as far as the request that it has may ask.
pub trait WorkerHandle: Send + Sync {
    /// A body is being passed on from now, either way; if that takes long, the worker leaves the pool
    /// with it.
    fn relaying(&self);

    /// No more is passed on for now: the worker waits for its backend.
    fn waiting(&self);

    /// The answer is about to end: the worker will be free in a moment, and its client may know before.
    fn finishing(&self);

    /// Whether the worker is outside of the pool.
    fn has_left(&self) -> bool;

    /// The worker leaves the pool at once and another takes its place. `false` where there are too many
    /// outside already: then it stays.
    fn leave(&self) -> bool;
}

/// What a request may wait for besides its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A worker.
    Worker,
    /// Its turn: a place with a backend, or the next attempt.
    Turn,
    /// A new connection to a backend.
    Connect,
    /// The client: more of its body, or that it takes more of the answer.
    Client,
}

/// Where a request's time went. What follows `total` adds up to it where a backend was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spans {
    /// From the request's whole head to the answer's last byte.
    pub total: Duration,
    /// Waiting for a turn: for a worker, for a place with a backend, for the next attempt.
    pub queue: Duration,
    /// Of `queue`, waiting for a worker.
    pub worker: Duration,
    /// Opening connections to backends.
    pub connect: Duration,
    /// Waiting for the client: for more of its body, and for it to take more of the answer.
    pub client: Duration,
    /// All the rest, which the backends have taken, and a little of it we; zero where none was asked.
    pub backend: Duration,
}

/// One request in flight.
#[derive(Debug, Default)]
pub struct Watch {
    client_ended: AtomicBool,
    client_gone: AtomicBool,
    body_timed_out: AtomicBool,
    wait: Mutex<Option<Weak<dyn Interrupt>>>,
    /// Nanoseconds for each [`Wait`].
    waits: [AtomicU64; 4],
}

impl Watch {
    /// The client has gone: whatever the worker waits for at a backend is interrupted, now and from now
    /// on. Takes a lock.
    pub fn client_has_gone(&self) {
        self.client_gone.store(true, Relaxed);
        // Under the lock, so that a connection can't be given to another request in between.
        if let Some(wait) = self.wait.lock().as_ref().and_then(Weak::upgrade) {
            wait.interrupt();
        }
    }

    /// The client has ended its side: most likely it has gone, too, but it may wait for its answer.
    pub fn client_has_ended(&self) {
        self.client_ended.store(true, Relaxed);
    }

    /// Whether nothing new should be begun for the client.
    pub fn has_client_ended(&self) -> bool {
        self.client_ended.load(Relaxed) || self.is_client_gone()
    }

    /// Whether it has.
    pub fn is_client_gone(&self) -> bool {
        self.client_gone.load(Relaxed)
    }

    /// From now on this is what to interrupt. Takes a lock.
    pub fn set_interrupt(&self, wait: Weak<dyn Interrupt>) {
        let mut current = self.wait.lock();
        if let (true, Some(wait)) = (self.is_client_gone(), wait.upgrade()) {
            wait.interrupt();
        }
        *current = Some(wait);
    }

    /// From now on there is nothing to interrupt. Takes a lock.
    pub fn clear_interrupt(&self) {
        *self.wait.lock() = None;
    }

    /// It has waited so long for that.
    pub fn has_waited(&self, wait: Wait, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.waits[wait as usize].fetch_add(nanos, Relaxed);
    }

    /// Where the time has gone of a request that has taken so long, with so many attempts.
    pub fn spans(&self, total: Duration, attempts: u32) -> Spans {
        let time = |wait: Wait| Duration::from_nanos(self.waits[wait as usize].load(Relaxed));
        let (worker, connect, client) = (time(Wait::Worker), time(Wait::Connect), time(Wait::Client));
        let queue = worker + time(Wait::Turn);
        let rest = total.saturating_sub(queue + connect + client);
        let backend = if attempts > 0 { rest } else { Duration::ZERO };
        Spans { total, queue, worker, connect, client, backend }
    }

    /// The client has sent no body for too long, and nothing more will be read from it.
    pub fn body_has_timed_out(&self) {
        self.body_timed_out.store(true, Relaxed);
    }

    /// See [`Watch::body_has_timed_out`].
    pub fn is_body_timed_out(&self) -> bool {
        self.body_timed_out.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Debug, Default)]
    struct Counter(AtomicU32);

    impl Interrupt for Counter {
        fn interrupt(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn spans_add_up_where_a_backend_was_asked() {
        let (watch, ms) = (Watch::default(), Duration::from_millis);
        for (wait, time) in [(Wait::Worker, 3), (Wait::Turn, 4), (Wait::Connect, 5), (Wait::Client, 6)] {
            watch.has_waited(wait, ms(time));
            watch.has_waited(wait, ms(1));
        }
        let spans = watch.spans(ms(100), 2);
        let [queue, worker, connect, client] = [ms(9), ms(4), ms(6), ms(7)];
        assert_eq!(spans, Spans { total: ms(100), queue, worker, connect, client, backend: ms(78) });
        assert_eq!(watch.spans(ms(100), 0).backend, Duration::ZERO);
        assert_eq!(watch.spans(ms(1), 1).backend, Duration::ZERO);
    }

    #[test]
    fn what_is_waited_in_is_interrupted_whenever_the_client_goes() {
        let (watch, counter) = (Watch::default(), Arc::new(Counter::default()));
        let weak: Weak<dyn Interrupt> = Arc::downgrade(&counter) as Weak<dyn Interrupt>;
        watch.set_interrupt(weak.clone());
        watch.clear_interrupt();
        watch.client_has_gone();
        assert_eq!(counter.0.load(Relaxed), 0, "it had been let go");
        watch.set_interrupt(weak);
        assert_eq!(counter.0.load(Relaxed), 1, "the client had gone before");
        watch.client_has_gone();
        assert_eq!(counter.0.load(Relaxed), 2);
    }
}
