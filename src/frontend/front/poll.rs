//! Waits for many sockets at once (epoll), and for a bell that other threads ring.
//!
//! A client's socket is put in once and tells of each change (edge-triggered): whoever hears of one
//! remembers it until the socket says that nothing more can be done. So a request costs no call here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The bell's key.
const BELL: u64 = u64::MAX;
/// The listening socket's key.
pub(super) const LISTENER: u64 = u64::MAX - 1;
/// Events taken at once.
const MAX_EVENTS: usize = 256;

/// See the module.
pub(super) struct Poll {
    epoll: OwnedFd,
    bell: OwnedFd,
}

/// What has become possible with a client's connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// Something has come, or the client has ended its side.
    pub read: bool,
    /// There is room again.
    pub write: bool,
    /// The client has ended its side.
    pub ended: bool,
    /// The connection is broken.
    pub broken: bool,
}

impl Ready {
    /// Whether anything has.
    pub fn is_any(self) -> bool {
        self.read || self.write || self.ended || self.broken
    }

    /// What both say.
    pub fn and(self, other: Ready) -> Ready {
        Ready {
            read: self.read || other.read,
            write: self.write || other.write,
            ended: self.ended || other.ended,
            broken: self.broken || other.broken,
        }
    }
}

impl Poll {
    /// With nothing to wait for but the bell.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new() -> io::Result<Poll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Poll { epoll, bell })
    }

    /// Tells of this client from now on. What is possible already is told at once.
    ///
    /// # Errors
    /// The operating system's.
    pub fn add(&self, socket: impl AsFd, key: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), all())?)
    }

    /// Tells nothing more of it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// While somebody else reads a body, tells of the end only; then of everything again, and what is
    /// possible by then is told at once.
    ///
    /// # Errors
    /// The operating system's.
    pub fn hush(&self, socket: impl AsFd, key: usize, hushed: bool) -> io::Result<()> {
        let flags = if hushed { EventFlags::RDHUP | EventFlags::ET } else { all() };
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(key as u64), flags)?)
    }

    /// Whether the listening socket is waited for; `known` is what was said before.
    ///
    /// # Errors
    /// The operating system's.
    pub fn accept(&self, listener: impl AsFd, known: &mut bool, wanted: bool) -> io::Result<()> {
        match (*known, wanted) {
            (false, true) => {
                epoll::add(&self.epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
            }
            (true, false) => epoll::delete(&self.epoll, listener)?,
            _ => {}
        }
        *known = wanted;
        Ok(())
    }

    /// Waits until something can be done, the bell rings or the time is up; what can be done is in `ready`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn wait(&self, timeout: Duration, ready: &mut Vec<(u64, Ready)>) -> io::Result<()> {
        ready.clear();
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut space = [const { std::mem::MaybeUninit::uninit() }; MAX_EVENTS];
        let events = match epoll::wait(&self.epoll, &mut space, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            result => result?.0,
        };
        for event in events {
            let (key, flags) = (event.data.u64(), event.flags);
            if key == BELL {
                let _ = rustix::io::read(&self.bell, &mut [0; 8]);
                continue;
            }
            let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
            let ended = flags.contains(EventFlags::RDHUP);
            let read = ended || broken || flags.contains(EventFlags::IN);
            ready.push((key, Ready { read, write: flags.contains(EventFlags::OUT), ended, broken }));
        }
        Ok(())
    }

    /// Ends a wait.
    pub fn ring(&self) {
        // It fails only where it has been rung 2^64 times.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

fn all() -> EventFlags {
    EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
}
