//! State of one request in flight, shared between the code that watches the client's connection and the
//! worker that handles the request.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

/// Something that a thread may be waiting in and that can be interrupted.
pub trait Interrupt: std::fmt::Debug + Send + Sync {
    /// Ends the current wait and every later one. Must not block.
    fn interrupt(&self);
}

/// The worker of a request, as far as the request can control it.
pub trait WorkerHandle: Send + Sync {
    /// A body is relayed from now on, in either direction. If that takes long, the worker is detached from
    /// the pool.
    fn relaying(&self);

    /// Relaying pauses: the worker waits for its backend.
    fn waiting(&self);

    /// The answer is about to end and the worker will be free in a moment; the client may notice the end
    /// earlier.
    fn finishing(&self);

    /// Whether the worker is detached from the pool.
    fn has_left(&self) -> bool;

    /// Detaches the worker from the pool at once, and another takes its place. Returns `false` if too many
    /// are detached already; the worker then stays.
    fn leave(&self) -> bool;
}

/// What a request may wait for, other than its backend's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A free worker.
    Worker,
    /// A backend below `max_connections`, or the next attempt.
    Turn,
    /// A new connection to a backend.
    Connect,
    /// The client: the rest of its body, or that it accepts more of the answer.
    Client,
}

/// How a request's time was spent. The sum of `queue`, `connect`, `client` and `backend` is `total` if a
/// backend was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spans {
    /// From the end of the request's head to the last byte of the answer.
    pub total: Duration,
    /// Waiting for a worker, for a backend below `max_connections`, or for the next attempt.
    pub queue: Duration,
    /// The part of `queue` spent waiting for a worker.
    pub worker: Duration,
    /// Opening connections to backends.
    pub connect: Duration,
    /// Waiting for the rest of the client's body, or for the client to accept more of the answer.
    pub client: Duration,
    /// The remaining time, nearly all of it spent by backends; zero if none was asked.
    pub backend: Duration,
}

/// The shared state of one request in flight.
#[derive(Debug, Default)]
pub struct Watch {
    client_ended: AtomicBool,
    client_gone: AtomicBool,
    body_timed_out: AtomicBool,
    wait: Mutex<Option<Weak<dyn Interrupt>>>,
    /// Nanoseconds spent in each [`Wait`].
    waits: [AtomicU64; 4],
}

impl Watch {
    /// Notes that the client has gone: interrupts any wait of the worker for a backend, now and later. Takes
    /// a lock.
    pub fn client_has_gone(&self) {
        self.client_gone.store(true, Relaxed);
        // Under the lock, so that the connection can't be given to another request in between.
        if let Some(wait) = self.wait.lock().as_ref().and_then(Weak::upgrade) {
            wait.interrupt();
        }
    }

    /// Notes that the client has closed its sending side: it has probably gone, but may still wait for its
    /// answer.
    pub fn client_has_ended(&self) {
        self.client_ended.store(true, Relaxed);
    }

    /// Whether no new work should be started for the client.
    pub fn has_client_ended(&self) -> bool {
        self.client_ended.load(Relaxed) || self.is_client_gone()
    }

    /// Whether the client has gone.
    pub fn is_client_gone(&self) -> bool {
        self.client_gone.load(Relaxed)
    }

    /// Sets what to interrupt from now on. Takes a lock.
    pub fn set_interrupt(&self, wait: Weak<dyn Interrupt>) {
        let mut current = self.wait.lock();
        if let (true, Some(wait)) = (self.is_client_gone(), wait.upgrade()) {
            wait.interrupt();
        }
        *current = Some(wait);
    }

    /// From now on nothing is interrupted. Takes a lock.
    pub fn clear_interrupt(&self) {
        *self.wait.lock() = None;
    }

    /// Adds to the time spent in this wait.
    pub fn has_waited(&self, wait: Wait, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.waits[wait as usize].fetch_add(nanos, Relaxed);
    }

    /// How a request's time was spent, given its total time and number of attempts.
    pub fn spans(&self, total: Duration, attempts: u32) -> Spans {
        let time = |wait: Wait| Duration::from_nanos(self.waits[wait as usize].load(Relaxed));
        let (worker, connect, client) = (time(Wait::Worker), time(Wait::Connect), time(Wait::Client));
        let queue = worker + time(Wait::Turn);
        let rest = total.saturating_sub(queue + connect + client);
        let backend = if attempts > 0 { rest } else { Duration::ZERO };
        Spans { total, queue, worker, connect, client, backend }
    }

    /// Notes that the client has sent no body for too long; no more of it will be read.
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
