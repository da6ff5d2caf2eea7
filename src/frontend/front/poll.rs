//! Waits for events of many sockets (epoll), and for a wake-up by other threads (eventfd, the bell).
//!
//! A client's socket is added once and edge-triggered: each change is reported once, and whoever handles it
//! must remember it until the socket would block. So a request costs no epoll call.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The bell's event key.
const BELL: u64 = u64::MAX;
/// The listening socket's event key.
pub(super) const LISTENER: u64 = u64::MAX - 1;
/// Events per wait.
const MAX_EVENTS: usize = 256;

/// See the module.
pub(super) struct Poll {
    epoll: OwnedFd,
    bell: OwnedFd,
}

/// An event of a client's connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// Bytes have arrived, or the client has ended its side.
    pub read: bool,
    /// The socket has room to write again.
    pub write: bool,
    /// The client has ended its side.
    pub ended: bool,
    /// The connection is broken.
    pub broken: bool,
}

impl Ready {
    /// Whether there is any event.
    pub fn is_any(self) -> bool {
        self.read || self.write || self.ended || self.broken
    }

    /// The union of two events.
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
    /// A poll that contains only the bell.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new() -> io::Result<Poll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Poll { epoll, bell })
    }

    /// Adds a client's socket. Its current state is reported at once.
    ///
    /// # Errors
    /// The operating system's.
    pub fn add(&self, socket: impl AsFd, key: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), all())?)
    }

    /// Removes a client's socket.
    ///
    /// # Errors
    /// The operating system's.
    pub fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Reports only the client's FIN while `hushed`, for a worker that reads a body. Otherwise reports
    /// everything again, starting with the current state.
    ///
    /// # Errors
    /// The operating system's.
    pub fn hush(&self, socket: impl AsFd, key: usize, hushed: bool) -> io::Result<()> {
        let flags = if hushed { EventFlags::RDHUP | EventFlags::ET } else { all() };
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(key as u64), flags)?)
    }

    /// Adds or removes the listening socket; `known` is whether it is in the poll.
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

    /// Waits for events, the bell or the timeout; stores the events in `ready`.
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

    /// Wakes the thread in [`Poll::wait`].
    pub fn ring(&self) {
        // Fails only if the counter is full, after 2^64 calls.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

fn all() -> EventFlags {
    EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
}
