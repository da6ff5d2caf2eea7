//! What the two processes of a renewal say to each other: the listening sockets, then single words.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::child::START_LIMIT;
use crate::config::MOST_LISTENERS;
use crate::frontend::ListenSocket;

/// The plain listeners, TLS and admin.
const MAX_SOCKETS: usize = 2 * MOST_LISTENERS + 1;
/// Sent with the sockets.
const HERE: u8 = b'L';
/// The same, if a service manager holds the sockets, too.
const HERE_TO_STAY: u8 = b'S';
/// Everything but accepting has started.
pub(super) const READY: u8 = b'R';
/// The old process no longer accepts.
pub(super) const GO: u8 = b'G';
/// The new process accepts.
pub(super) const SERVING: u8 = b'S';
/// Time limit of each later step.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(10);

/// What the old process hands over.
pub struct HandedOver {
    /// The listening sockets.
    pub listeners: Vec<ListenSocket>,
    /// Whether a service manager holds the sockets, too.
    pub sockets_stay: bool,
    /// The admin overrides.
    pub by_hand: String,
}

/// Sends the sockets, whether they stay with a service manager, and the admin overrides.
pub(super) fn send_sockets(
    channel: &UnixStream,
    listeners: &[&ListenSocket],
    sockets_stay: bool,
    by_hand: &str,
) -> io::Result<()> {
    let sockets: Vec<_> = listeners.iter().take(MAX_SOCKETS).map(|listener| listener.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    let word = [if sockets_stay { HERE_TO_STAY } else { HERE }];
    sendmsg(channel, &[IoSlice::new(&word)], &mut control, SendFlags::NOSIGNAL)?;
    channel.set_write_timeout(Some(START_LIMIT))?;
    send_text(channel, by_hand)
}

/// Receives what [`send_sockets`] has sent.
pub(super) fn receive_sockets(channel: &UnixStream) -> io::Result<HandedOver> {
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

/// Waits for a word.
pub(super) fn expect(mut channel: &UnixStream, word: u8, limit: Duration) -> io::Result<()> {
    channel.set_read_timeout(Some(limit))?;
    let mut byte = [0];
    channel.read_exact(&mut byte)?;
    if byte[0] == word { Ok(()) } else { Err(io::Error::other("an unexpected word from the other process")) }
}
