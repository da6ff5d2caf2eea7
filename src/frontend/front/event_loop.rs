//! A thread of the front: hears what happens to its connections and does what can be done without waiting.
//! Nothing in it waits but the poll, so a client that stalls delays nobody. The first of them accepts.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use log::Level::{Error, Warn};

use super::core::Core;
use super::mode::Mode;
use super::poll::{LISTENER, Ready};
use super::room::Room;
use crate::frontend::ListenSocket;
use crate::logging::event;

/// How often connections are looked through for what has taken too long.
const SWEEP: Duration = Duration::from_millis(100);
/// Clients accepted before the others have their turn.
const MAX_ACCEPTED: usize = 64;
/// After accepting has failed, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// While requests wait for a worker, somebody looks at how long so often at least.
const LOOK: Duration = Duration::from_millis(1);

/// See the module.
pub(super) struct EventLoop {
    pub core: Arc<Core>,
    /// Its number, and that of its poll.
    pub number: usize,
    /// The one that accepts has it.
    pub listener: Option<ListenSocket>,
    pub is_accepting: bool,
    pub accept_again: Instant,
    pub room: Room,
}

impl EventLoop {
    /// Until the process ends.
    pub fn run(mut self) {
        let core = Arc::clone(&self.core);
        let poll = &core.polls[self.number];
        let (mut ready, mut next_sweep) = (Vec::new(), Instant::now());
        loop {
            self.follow_mode();
            core.rounds[self.number].fetch_add(1, Relaxed);
            // While requests wait for a worker, somebody has to see to it; a thread that makes handshakes only
            // where it may have handed one over.
            let hands_over = self.number < core.client_loops || !ready.is_empty();
            let is_anything_waiting = hands_over && core.dispatch.look();
            let rest = next_sweep.saturating_duration_since(Instant::now());
            let limit = if is_anything_waiting { rest.min(LOOK) } else { rest };
            // Without it nobody is served any more, and whoever supervises this thread must know.
            poll.wait(limit, &mut ready).expect("the system tells of clients");
            let now = Instant::now();
            for (key, ready) in ready.iter().copied() {
                match key {
                    LISTENER => self.accept(now),
                    key => self.look_at(key as usize, ready, now),
                }
            }
            if now >= next_sweep || core.modes.told() == Mode::Ending {
                next_sweep = now + SWEEP;
                core.sweep(self.number, now);
            }
        }
    }

    /// A bug over one connection must not end all others.
    fn look_at(&self, index: usize, ready: Ready, now: Instant) {
        let looked = catch_unwind(AssertUnwindSafe(|| self.core.ready(index, ready, now)));
        if looked.is_err() {
            event(Error, "front", "panicked over a connection", &[]);
            // It went with the stack; so does its slot.
            self.core.table.forget(index);
        }
    }

    /// Accepts, or leaves it, as it was told.
    fn follow_mode(&mut self) {
        let mode = self.core.modes.told();
        if mode == Mode::Draining && self.is_accepting {
            // Those whose connection the system has made already are answered.
            self.accept_all(Instant::now());
        }
        let Some(listener) = &self.listener else { return };
        let accepts = mode == Mode::Accepting && Instant::now() >= self.accept_again;
        let set = self.core.polls[self.number].accept(listener, &mut self.is_accepting, accepts);
        if let Err(error) = set {
            event(Warn, "front", "can't wait for new clients", &[("error", &error)]);
        }
        self.core.modes.followed(mode);
    }

    fn accept_all(&mut self, now: Instant) {
        while self.accept_one(now) {}
    }

    /// Some of those that wait; the poll tells of the rest, after all who are ready by now.
    fn accept(&mut self, now: Instant) {
        let _ = (0..MAX_ACCEPTED).all(|_| self.accept_one(now));
    }

    /// Whether there may be more.
    fn accept_one(&mut self, now: Instant) -> bool {
        let Some(listener) = &self.listener else { return false };
        match listener.accept() {
            Ok((client, peer)) => {
                let most = (self.core.limits)().max_connections;
                if self.core.table.open() >= most && !self.room.make(&self.core, now) {
                    self.core.surplus.lock().closed(1, &*self.core.dispatch, now);
                    return true;
                }
                // Refused, it has been counted.
                let _ = self.core.welcome(client, peer, now);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // One that has gone already, or a signal.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) =>
            {
                true
            }
            Err(error) => {
                if self.core.modes.told() == Mode::Accepting {
                    event(Warn, "front", "accepting failed", &[("error", &error)]);
                }
                self.accept_again = now + ACCEPT_PAUSE;
                false
            }
        }
    }
}
