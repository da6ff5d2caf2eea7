//! A fresh process takes over the listening sockets, and the old one drains: no connection is refused or
//! lost. Requested by SIGUSR2 (for a new binary or new `workers`).
//!
//! The two processes talk over a socket pair, and the listening sockets are passed through it (SCM_RIGHTS).
//! The environment only holds a mark ([`MARK`]). The order matters:
//!
//! 1. old: starts the new process, sends it the listening sockets and the admin overrides
//! 2. new: starts everything but accepting, sends [`READY`]
//! 3. old: stops accepting, sends [`GO`]; new connections wait in the sockets' backlog
//! 4. new: accepts, sends [`SERVING`]
//! 5. old: drains, and exits with status 0
//!
//! If the new process fails before it serves, the old one continues as if nothing had been requested.
//!
//! The process that was started first starts all others (`parent`), because its supervisor only knows that
//! one. After its own drain only the parent's role remains: it passes on signals, reaps children, and exits
//! with the status of the child that served last.

mod child;
mod line;
mod origin;
mod parent;

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never};
use parking_lot::Mutex;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::config::{ListenAddress, MOST_LISTENERS};
use crate::frontend::ListenSocket;
use child::START_LIMIT;
pub use child::ToParent;
pub use origin::{MARK, Origin};
pub use parent::{Event, Parent};

use crate::shutdown::Control;

/// The plain listeners, TLS and admin.
const MAX_SOCKETS: usize = 2 * MOST_LISTENERS + 1;
/// Sent with the sockets.
const HERE: u8 = b'L';
/// The same, if a service manager holds the sockets, too.
const HERE_TO_STAY: u8 = b'S';
/// Everything but accepting has started.
const READY: u8 = b'R';
/// The old process no longer accepts.
const GO: u8 = b'G';
/// The new process accepts.
const SERVING: u8 = b'S';

/// How often to check whether the renewal was called off.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Time limit of each later step.
const STEP_LIMIT: Duration = Duration::from_secs(10);

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
        let sockets: Vec<_> = listeners.iter().take(MAX_SOCKETS).map(|listener| listener.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        let word = [if sockets_stay { HERE_TO_STAY } else { HERE }];
        sendmsg(&self.channel, &[IoSlice::new(&word)], &mut control, SendFlags::NOSIGNAL)?;
        self.channel.set_write_timeout(Some(START_LIMIT))?;
        send_text(&self.channel, by_hand)?;
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

/// Sends a length of four bytes, most significant first, and the text.
fn send_text(mut channel: &UnixStream, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    channel.write_all(&length.to_be_bytes())?;
    channel.write_all(text.as_bytes())
}

fn receive_text(mut channel: &UnixStream) -> io::Result<String> {
    let mut length = [0; 4];
    channel.read_exact(&mut length)?;
    let mut text = String::new();
    channel.take(u32::from_be_bytes(length).into()).read_to_string(&mut text)?;
    Ok(text)
}

fn expect(mut channel: &UnixStream, word: u8, limit: Duration) -> io::Result<()> {
    channel.set_read_timeout(Some(limit))?;
    let mut byte = [0];
    channel.read_exact(&mut byte)?;
    if byte[0] == word { Ok(()) } else { Err(io::Error::other("an unexpected word from the other process")) }
}

/// The new process's side of a renewal.
pub struct Predecessor(UnixStream);

/// What the old process hands over.
pub struct HandedOver {
    /// The listening sockets.
    pub listeners: Vec<ListenSocket>,
    /// Whether a service manager holds the sockets, too.
    pub sockets_stay: bool,
    /// The admin overrides.
    pub by_hand: String,
}

impl Predecessor {
    /// Receives what the old process hands over through this channel.
    ///
    /// # Errors
    /// The old process has ended, or has sent something else than listening sockets.
    pub fn at(channel: UnixStream) -> io::Result<(Predecessor, HandedOver)> {
        channel.set_read_timeout(Some(STEP_LIMIT))?;
        let handed_over = receive_sockets(&channel)?;
        Ok((Predecessor(channel), handed_over))
    }

    /// Reports that everything but accepting has started; returns when accepting may begin.
    ///
    /// # Errors
    /// The old process has ended or called it off.
    pub fn ready(&self) -> io::Result<()> {
        (&self.0).write_all(&[READY])?;
        expect(&self.0, GO, START_LIMIT)
    }

    /// Reports that this process accepts. A predecessor that has ended does not need to know.
    pub fn serving(&self) {
        let _ = (&self.0).write_all(&[SERVING]);
    }
}

fn receive_sockets(channel: &UnixStream) -> io::Result<HandedOver> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let messages = control.drain();
    let sockets = messages.filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let listeners: Vec<_> = sockets.flatten().map(ListenSocket::inherited).collect::<io::Result<_>>()?;
    if listeners.is_empty() {
        return Err(io::Error::other("no socket was handed over"));
    }
    let by_hand = receive_text(channel)?;
    Ok(HandedOver { listeners, sockets_stay: byte[0] == HERE_TO_STAY, by_hand })
}

/// The listening sockets that a service manager has opened (systemd's LISTEN_FDS), if there are any.
///
/// # Errors
/// A socket is neither TCP nor Unix.
pub fn activated_sockets() -> io::Result<Vec<ListenSocket>> {
    let mut given = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..given.len() {
        // A socket of another kind stays in `given`.
        let socket = match given.take_unix_listener(index) {
            Ok(socket) => socket.map(OwnedFd::from),
            Err(_) => given.take_tcp_listener(index)?.map(OwnedFd::from),
        };
        listeners.extend(socket.map(ListenSocket::inherited).transpose()?);
    }
    Ok(listeners)
}

/// Whether an inherited socket has the configured address.
pub fn is_wanted(listener: &ListenSocket, wanted: &ListenAddress) -> bool {
    match (listener.address(), wanted) {
        (ListenAddress::Tcp(actual), ListenAddress::Tcp(wanted)) => wanted.port() == 0 || actual == wanted,
        (ListenAddress::Unix { path, .. }, ListenAddress::Unix { path: wanted, .. }) => path == wanted,
        _ => false,
    }
}

/// Whether the socket listens on all IPv4 addresses where all addresses of both families are configured: the
/// previous process found no IPv6, and `[::]` can't be bound beside this socket.
pub fn is_half_of(listener: &ListenSocket, wanted: &ListenAddress) -> bool {
    let (Some(actual), Some(wanted)) = (listener.address().tcp(), wanted.tcp()) else { return false };
    let all = [actual, wanted].iter().all(|address| address.ip().is_unspecified());
    all && actual.is_ipv4() && wanted.is_ipv6() && actual.port() == wanted.port()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
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
    fn an_inherited_socket_of_ipv4_is_half_of_all_addresses() {
        let listener = bound("0.0.0.0:0");
        let port = listener.address().tcp().unwrap().port();
        for (wanted, half) in [("[::]", true), ("0.0.0.0", false), ("[::1]", false)] {
            let wanted: SocketAddr = format!("{wanted}:{port}").parse().unwrap();
            assert_eq!(is_half_of(&listener, &ListenAddress::Tcp(wanted)), half, "{wanted}");
        }
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
