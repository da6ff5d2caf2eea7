//! Waits for one or two sockets, with a limit.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What to wait for on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Bytes to read, or the end.
    pub read: bool,
    /// Room to write.
    pub write: bool,
}

impl Interest {
    /// Bytes to read, or the end.
    pub const READ: Interest = Interest { read: true, write: false };
    /// Room to write.
    pub const WRITE: Interest = Interest { read: false, write: true };
}

/// Whether the operation can succeed later: nothing has arrived yet, or there is no room.
pub fn is_moment(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The state of a socket; a broken one is ready for everything, so that the next call reports the error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// There are bytes to read, or the end.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

/// Waits until a socket is ready or the limit has passed; in that case none is ready. `None` waits for ever.
///
/// # Errors
/// The operating system's.
pub fn wait<const N: usize>(
    sockets: [(BorrowedFd<'_>, Interest); N],
    limit: Option<Duration>,
) -> io::Result<[Ready; N]> {
    let mut polled = sockets.map(|(socket, interest)| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.read);
        flags.set(PollFlags::OUT, interest.write);
        PollFd::from_borrowed_fd(socket, flags)
    });
    let timeout = limit.map(|limit| Timespec {
        tv_sec: limit.as_secs().min(i64::MAX as u64) as i64,
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    match poll(&mut polled, timeout.as_ref()) {
        // The caller tries again.
        Err(rustix::io::Errno::INTR) => return Ok([Ready::default(); N]),
        result => _ = result?,
    }
    Ok(std::array::from_fn(|index| {
        let flags = polled[index].revents();
        let broken = flags.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        let interest = sockets[index].1;
        Ready {
            read: interest.read && (broken || flags.contains(PollFlags::IN)),
            write: interest.write && (broken || flags.contains(PollFlags::OUT)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_can_be_done_is_told_and_the_limit_holds() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let short = Some(Duration::from_millis(1));
        let wait_for = |interest| wait([(other.as_fd(), interest)], short).unwrap()[0];
        assert_eq!(wait_for(Interest::READ), Ready::default());
        assert_eq!(wait_for(Interest::WRITE), Ready { read: false, write: true });
        one.write_all(b"x").unwrap();
        assert!(wait_for(Interest::READ).read);
        drop(one);
        assert!(wait_for(Interest { read: true, write: true }).write, "whoever writes finds out");
    }
}
