//! What the front's thread and the rest of the program share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::RwLock;

use super::conn::Owes;
use super::poll::Poll;
use crate::frontend::Counts;
use crate::tls::{ServerSession, ServerSettings};

/// How long the thread may take to hear what it is told.
const HEARS_WITHIN: Duration = Duration::from_secs(2);

/// What the front does with new clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mode {
    Accepting = 0,
    Paused = 1,
    Draining = 2,
    /// Nothing more will be asked or answered.
    Ending = 3,
}

/// See the module.
pub(super) struct Shared {
    mode: AtomicU8,
    followed: (Sender<()>, Receiver<()>),
    poll: Arc<Poll>,
    tls: Option<RwLock<ServerSettings>>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    open: AtomicU64,
    walks: AtomicU64,
    owing: AtomicU64,
    unsent: AtomicU64,
}

impl Shared {
    pub fn new(poll: Arc<Poll>, tls: Option<ServerSettings>, proxy_protocol: bool) -> Shared {
        Shared {
            mode: AtomicU8::new(Mode::Accepting as u8),
            followed: bounded(1),
            poll,
            tls: tls.map(RwLock::new),
            proxy_protocol,
            open: AtomicU64::new(0),
            walks: AtomicU64::new(0),
            owing: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
        }
    }

    pub fn mode(&self) -> Mode {
        match self.mode.load(SeqCst) {
            0 => Mode::Accepting,
            1 => Mode::Paused,
            2 => Mode::Draining,
            _ => Mode::Ending,
        }
    }

    /// Tells the thread, and waits until it has heard.
    pub fn set_mode(&self, mode: Mode) -> io::Result<()> {
        while self.followed.1.try_recv().is_ok() {}
        self.mode.store(mode as u8, SeqCst);
        self.poll.ring();
        // The first may be of the turn before.
        for _ in 0..2 {
            self.followed
                .1
                .recv_timeout(HEARS_WITHIN)
                .map_err(|_| io::Error::other("the front does not hear"))?;
            self.poll.ring();
        }
        Ok(())
    }

    /// The thread acts on the mode from now on.
    pub fn has_followed(&self) {
        let _ = self.followed.0.try_send(());
    }

    /// A TLS session for a new connection; `None` where there is no TLS. Takes a lock.
    pub fn session(&self) -> io::Result<Option<ServerSession>> {
        self.tls.as_ref().map(|tls| tls.read().session()).transpose()
    }

    /// New connections get these certificates. Takes a lock.
    pub fn set_tls(&self, settings: ServerSettings) {
        if let Some(tls) = &self.tls {
            *tls.write() = settings;
        }
    }

    pub fn counted(&self, open: usize) {
        self.open.store(open as u64, SeqCst);
        self.walks.fetch_add(1, SeqCst);
    }

    /// A connection owes this from now on, and that no more.
    pub fn owes(&self, now: Owes, before: Owes) {
        let count = |counter: &AtomicU64, is: bool, was: bool| match (is, was) {
            (true, false) => _ = counter.fetch_add(1, SeqCst),
            (false, true) => _ = counter.fetch_sub(1, SeqCst),
            _ => {}
        };
        count(&self.owing, now != Owes::Nothing, before != Owes::Nothing);
        count(&self.unsent, now == Owes::Rest, before == Owes::Rest);
    }

    /// `leaked` is tiny_http's.
    pub fn counts(&self, leaked: u64) -> Counts {
        let open = self.open.load(SeqCst);
        Counts {
            owing: self.owing.load(SeqCst),
            unsent: self.unsent.load(SeqCst),
            client_connections: open,
            alive_connections: open,
            walks: self.walks.load(SeqCst),
            leaked_connections: leaked,
        }
    }
}
