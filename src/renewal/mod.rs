//! A fresh process takes over the listening sockets, and the old one drains: no connection is refused or
//! lost. Requested by SIGUSR2 (for a new binary or new `workers`).
//!
//! The two processes talk over a socket pair, and the listening sockets are passed through it (SCM_RIGHTS).
//! The environment only holds a mark ([`MARK`]). The order matters:
//!
//! 1. old: starts the new process, sends it the listening sockets and the admin overrides
//! 2. new: starts everything but accepting, sends `READY`
//! 3. old: stops accepting, sends `GO`; new connections wait in the sockets' backlog
//! 4. new: accepts, sends `SERVING`
//! 5. old: drains, and exits with status 0
//!
//! If the new process fails before it serves, the old one continues as if nothing had been requested.
//!
//! The process that was started first starts all others (`parent`), because its supervisor only knows that
//! one. After its own drain only the parent's role remains: it passes on signals, reaps children, and exits
//! with the status of the child that served last.

mod channel;
mod child;
mod inherited;
mod line;
mod origin;
mod parent;
mod predecessor;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never};
use parking_lot::Mutex;

use crate::frontend::ListenSocket;
pub use channel::HandedOver;
use channel::{GO, READY, SERVING, STEP_LIMIT, expect};
use child::START_LIMIT;
pub use child::ToParent;
pub use inherited::{activated_sockets, is_half_of, is_wanted};
pub use origin::{MARK, Origin};
pub use parent::{Event, Parent};
pub use predecessor::Predecessor;

use crate::shutdown::Control;

/// How often to check whether the renewal was called off.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How successors are started.
pub enum Succession {
    /// Not at all: this process can't start its program again.
    Nobody,
    /// By this process, which was started first.
    Own(Mutex<Parent>),
    /// By the parent, on request.
    Asked(ToParent),
}

impl Succession {
    /// Successors are started by this process.
    pub fn own(parent: Parent) -> Succession {
        Succession::Own(Mutex::new(parent))
    }

    /// Takes a lock, as the methods below do.
    fn start(&self) -> io::Result<(u32, UnixStream)> {
        match self {
            Succession::Nobody => Err(io::Error::other("this process can't be renewed")),
            Succession::Own(parent) => parent.lock().start(),
            Succession::Asked(parent) => parent.start(),
        }
    }

    fn abandon(&self, pid: u32) {
        match self {
            Succession::Nobody => {}
            Succession::Own(parent) => parent.lock().abandon(pid),
            Succession::Asked(parent) => parent.abandon(pid),
        }
    }

    fn succeeded_by(&self, pid: u32) {
        match self {
            Succession::Nobody => {}
            Succession::Own(parent) => parent.lock().succeeded_by(pid),
            Succession::Asked(parent) => parent.succeeded_by(pid),
        }
    }

    /// Messages of this process's children; never any if it has none.
    pub fn events(&self) -> Receiver<Event> {
        match self {
            Succession::Own(parent) => parent.lock().events(),
            _ => never(),
        }
    }

    /// Handles a child's message.
    pub fn heard(&self, event: Event) {
        if let Succession::Own(parent) = self {
            parent.lock().heard(event);
        }
    }

    /// Reaps children that have ended.
    pub fn reap(&self) {
        if let Succession::Own(parent) = self {
            parent.lock().reap();
        }
    }

    /// Passes a request on to the process that has taken over from this one.
    pub fn pass_on(&self, request: Control) {
        if let Succession::Own(parent) = self {
            parent.lock().pass_on(request);
        }
    }

    /// Whether the process that has taken over has failed, so that nobody serves.
    pub fn has_failed(&self) -> bool {
        matches!(self, Succession::Own(parent) if parent.lock().end().is_some_and(|status| status != 0))
    }

    /// The parent's role, if a child serves when this process has finished its own work.
    pub fn into_parent(self) -> Option<Parent> {
        match self {
            Succession::Own(parent) => Some(parent.into_inner()).filter(Parent::has_heir),
            _ => None,
        }
    }
}

/// The old process's side of a renewal.
pub struct Successor<'a> {
    channel: UnixStream,
    pid: u32,
    succession: &'a Succession,
}

impl Successor<'_> {
    /// Starts the new process, sends it the sockets and waits until it is ready to accept.
    ///
    /// # Errors
    /// The new process could not be started, has ended, or was not ready in time.
    pub fn start<'a>(
        succession: &'a Succession,
        listeners: &[&ListenSocket],
        sockets_stay: bool,
        by_hand: &str,
        is_called_off: impl FnMut() -> bool,
    ) -> io::Result<Successor<'a>> {
        let (pid, channel) = succession.start()?;
        let successor = Successor { channel, pid, succession };
        match successor.hand_over(listeners, sockets_stay, by_hand, is_called_off) {
            Ok(()) => Ok(successor),
            Err(error) => {
                successor.abandon();
                Err(error)
            }
        }
    }

    /// Kills the new process, which must not serve beside this one. Fails without harm if it has ended.
    pub fn abandon(self) {
        self.succession.abandon(self.pid);
    }

    fn hand_over(
        &self,
        listeners: &[&ListenSocket],
        sockets_stay: bool,
        by_hand: &str,
        mut is_called_off: impl FnMut() -> bool,
    ) -> io::Result<()> {
        channel::send_sockets(&self.channel, listeners, sockets_stay, by_hand)?;
        let deadline = Instant::now() + START_LIMIT;
        while !is_called_off() {
            match expect(&self.channel, READY, LOOK_PAUSE) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {}
                result => return result,
            }
        }
        Err(io::Error::other("called off"))
    }

    /// Lets the new process accept, and waits until it does. Call it when this process no longer accepts.
    ///
    /// # Errors
    /// The new process ended or did not answer in time; this process should accept again.
    pub fn go(&self) -> io::Result<()> {
        (&self.channel).write_all(&[GO])?;
        expect(&self.channel, SERVING, STEP_LIMIT)?;
        self.succession.succeeded_by(self.pid);
        Ok(())
    }

    /// The new process's id.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use std::ffi::OsString;

    use super::*;

    fn bound(address: &str) -> ListenSocket {
        ListenSocket::inherited(TcpListener::bind(address).unwrap().into()).unwrap()
    }

    fn succession(program: &str, arguments: &[&str]) -> Succession {
        let arguments = arguments.iter().map(OsString::from).collect();
        let origin = Origin { program: program.into(), arguments };
        Succession::own(Parent::of(origin, Arc::default()))
    }

    #[test]
    fn a_socket_goes_through_the_channel() {
        let listener = bound("127.0.0.1:0");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let succession = succession("/bin/true", &[]);
        let successor = Successor { channel: ours, pid: 1, succession: &succession };
        let other = std::thread::spawn(move || {
            let (predecessor, mut received) = Predecessor::at(theirs).unwrap();
            assert!(received.sockets_stay);
            assert_eq!(received.by_hand, "[1]");
            predecessor.ready().unwrap();
            predecessor.serving();
            received.listeners.remove(0).address().clone()
        });
        successor.hand_over(&[&listener], true, "[1]", || false).unwrap();
        successor.go().unwrap();
        assert_eq!(&other.join().unwrap(), listener.address());
        assert!(succession.into_parent().unwrap().has_heir());
    }

    #[test]
    fn a_successor_that_ends_is_noticed() {
        let listener = bound("127.0.0.1:0");
        let ending = succession("/bin/true", &[]);
        assert!(Successor::start(&ending, &[&listener], false, "", || false).is_err());
        let missing = succession("/no/such/program", &[]);
        assert!(Successor::start(&missing, &[&listener], false, "", || false).is_err());
    }

    #[test]
    fn a_silent_successor_is_ended_when_the_renewal_is_called_off() {
        let listener = bound("127.0.0.1:0");
        let silent = succession("/bin/sleep", &["60"]);
        let begun = Instant::now();
        let mut looks = 0;
        let called_off = || {
            looks += 1;
            looks > 2
        };
        assert!(Successor::start(&silent, &[&listener], false, "", called_off).is_err());
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
