//! Waits for many sockets at once (epoll), and for a bell that other threads ring.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The bell's key.
const BELL: u64 = u64::MAX;
/// Events taken at once.
const MAX_EVENTS: usize = 256;

/// See the module.
pub(in crate::frontend) struct Poll {
    epoll: OwnedFd,
    bell: OwnedFd,
}

/// What can be done with a socket.
#[derive(Debug, Clone, Copy)]
pub(in crate::frontend) struct Ready {
    pub key: u64,
    /// It can be read, or has ended; else it can be written to.
    pub readable: bool,
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

    /// Changes what a socket is waited for; waiting for nothing takes it out, so that an end that nobody
    /// wants to know of can't keep the loop busy.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set(
        &self,
        socket: impl AsFd,
        key: u64,
        known: &mut (bool, bool),
        wanted: (bool, bool),
    ) -> io::Result<()> {
        if *known == wanted {
            return Ok(());
        }
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, wanted.0);
        flags.set(EventFlags::OUT, wanted.1);
        let data = EventData::new_u64(key);
        match (*known, wanted) {
            ((false, false), _) => epoll::add(&self.epoll, socket, data, flags)?,
            (_, (false, false)) => epoll::delete(&self.epoll, socket)?,
            _ => epoll::modify(&self.epoll, socket, data, flags)?,
        }
        *known = wanted;
        Ok(())
    }

    /// Waits until something can be done, the bell rings or the time is up.
    ///
    /// # Errors
    /// The operating system's.
    pub fn wait(&self, timeout: Duration) -> io::Result<Vec<Ready>> {
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let mut events = Vec::<epoll::Event>::with_capacity(MAX_EVENTS);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            result => _ = result?,
        }
        let mut ready = Vec::with_capacity(events.len());
        for event in &events {
            let (key, flags) = (event.data.u64(), event.flags);
            if key == BELL {
                let _ = rustix::io::read(&self.bell, &mut [0; 8]);
                continue;
            }
            let over = flags.intersects(EventFlags::HUP | EventFlags::ERR);
            let readable = over || flags.contains(EventFlags::IN);
            ready.push(Ready { key, readable });
        }
        Ok(ready)
    }

    /// Ends a wait.
    pub fn ring(&self) {
        // It fails only where it has been rung 2^64 times.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}
