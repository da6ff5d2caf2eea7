//! A thread of the front: handles the events of its connections as far as that works without waiting. It
//! blocks only in its poll, so a client that stalls delays no other. The first of these threads also accepts.

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

/// How often connections are checked for timeouts.
const SWEEP: Duration = Duration::from_millis(100);
/// Connections accepted in a row, before other events are handled.
const MAX_ACCEPTED: usize = 64;
/// Pause after accepting has failed, mostly for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// While requests wait for a worker, the dispatcher is called at least this often.
const LOOK: Duration = Duration::from_millis(1);

/// See the module.
pub(super) struct EventLoop {
    pub core: Arc<Core>,
    /// The index of the thread and of its poll.
    pub number: usize,
    /// Only in the thread that accepts.
    pub listener: Option<ListenSocket>,
    pub is_accepting: bool,
    pub accept_again: Instant,
    pub room: Room,
}

impl EventLoop {
    /// Runs until the process ends.
    pub fn run(mut self) {
        let core = Arc::clone(&self.core);
        let poll = &core.polls[self.number];
        let (mut ready, mut next_sweep) = (Vec::new(), Instant::now());
        loop {
            self.follow_mode();
            core.rounds[self.number].fetch_add(1, Relaxed);
            // The dispatcher must be called while requests wait for a worker; by a handshake loop only after
            // events, from which it may have dispatched a request.
            let hands_over = self.number < core.client_loops || !ready.is_empty();
            let is_anything_waiting = hands_over && core.dispatch.look();
            let rest = next_sweep.saturating_duration_since(Instant::now());
            let limit = if is_anything_waiting { rest.min(LOOK) } else { rest };
            // Without its poll the thread serves nobody, so it panics and `supervised` ends the process.
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

    /// A bug in one connection must not end all others. The panic drops the connection, which frees its slot.
    fn look_at(&self, index: usize, ready: Ready, now: Instant) {
        let looked = catch_unwind(AssertUnwindSafe(|| self.core.ready(index, ready, now)));
        if looked.is_err() {
            event(Error, "front", "panicked over a connection", &[]);
        }
    }

    /// Starts or stops accepting, as the mode says.
    fn follow_mode(&mut self) {
        let mode = self.core.modes.told();
        if mode == Mode::Draining && self.is_accepting {
            // Accepts connections that the kernel has already established, so that they are answered.
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

    /// Accepts some connections; the poll reports the rest after the other events.
    fn accept(&mut self, now: Instant) {
        let _ = (0..MAX_ACCEPTED).all(|_| self.accept_one(now));
    }

    /// Accepts a connection; returns whether there may be more.
    fn accept_one(&mut self, now: Instant) -> bool {
        let Some(listener) = &self.listener else { return false };
        match listener.accept() {
            Ok((client, peer)) => {
                let most = (self.core.limits)().max_connections;
                if self.core.table.open() >= most && !self.room.make(&self.core, now) {
                    self.core.surplus.lock().closed(1, &*self.core.dispatch, now);
                    return true;
                }
                // `welcome` counts the connections it refuses.
                let _ = self.core.welcome(client, peer, now);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // The client has gone already, or a signal came.
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
