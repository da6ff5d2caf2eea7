//! Whether a front accepts connections: set by other threads, followed by its accepting thread.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// How long the accepting thread may take to follow a new mode.
const HEARS_WITHIN: Duration = Duration::from_secs(2);

/// What the front does with new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mode {
    Accepting = 0,
    Paused = 1,
    Draining = 2,
    /// The process ends; nothing more is read or answered.
    Ending = 3,
}

/// See the module.
pub(super) struct Modes {
    told: AtomicU8,
    followed: (Sender<Mode>, Receiver<Mode>),
}

impl Modes {
    pub fn new() -> Modes {
        Modes { told: AtomicU8::new(Mode::Accepting as u8), followed: bounded(1) }
    }

    /// The mode set last.
    pub fn told(&self) -> Mode {
        match self.told.load(SeqCst) {
            0 => Mode::Accepting,
            1 => Mode::Paused,
            2 => Mode::Draining,
            _ => Mode::Ending,
        }
    }

    /// Sets the mode, wakes the thread with `ring`, and waits until the thread follows.
    ///
    /// # Errors
    /// The thread did not follow in time.
    pub fn tell(&self, mode: Mode, ring: impl Fn()) -> io::Result<()> {
        self.told.store(mode as u8, SeqCst);
        loop {
            ring();
            let followed = self.followed.1.recv_timeout(HEARS_WITHIN);
            match followed.map_err(|_| io::Error::other("the front thread did not react in time"))? {
                followed if followed == mode => return Ok(()),
                // The report of an earlier mode.
                _ => {}
            }
        }
    }

    /// Reports that the thread now follows this mode.
    pub fn followed(&self, mode: Mode) {
        if let Err(full) = self.followed.0.try_send(mode) {
            // Nobody waits for the old report, so replace it.
            let _ = self.followed.1.try_recv();
            let _ = self.followed.0.try_send(full.into_inner());
        }
    }
}
