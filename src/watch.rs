//! What the guard, which sees a request's connection, and the worker, which has the request, tell each
//! other while it is in flight.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

/// Something that a thread may be waiting in.
pub trait Interrupt: std::fmt::Debug + Send + Sync {
    /// Ends the wait, and every later one. Must not block.
    fn interrupt(&self);
}

/// A worker's place in the pool, as far as the request that it has may ask.
pub trait Place: Send + Sync {
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

/// One request in flight.
#[derive(Debug, Default)]
pub struct Watch {
    client_ended: AtomicBool,
    client_gone: AtomicBool,
    body_timed_out: AtomicBool,
    wait: Mutex<Option<Weak<dyn Interrupt>>>,
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
    pub fn waits_in(&self, wait: Weak<dyn Interrupt>) {
        let mut current = self.wait.lock();
        if let (true, Some(wait)) = (self.is_client_gone(), wait.upgrade()) {
            wait.interrupt();
        }
        *current = Some(wait);
    }

    /// From now on there is nothing to interrupt. Takes a lock.
    pub fn waits_no_more(&self) {
        *self.wait.lock() = None;
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
    fn what_is_waited_in_is_interrupted_whenever_the_client_goes() {
        let (watch, counter) = (Watch::default(), Arc::new(Counter::default()));
        let weak: Weak<dyn Interrupt> = Arc::downgrade(&counter) as Weak<dyn Interrupt>;
        watch.waits_in(weak.clone());
        watch.waits_no_more();
        watch.client_has_gone();
        assert_eq!(counter.0.load(Relaxed), 0, "it had been let go");
        watch.waits_in(weak);
        assert_eq!(counter.0.load(Relaxed), 1, "the client had gone before");
        watch.client_has_gone();
        assert_eq!(counter.0.load(Relaxed), 2);
    }
}
