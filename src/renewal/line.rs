//! The channel between the parent and a child: whole messages, in order, each with or without a socket. It
//! ends when the other process does, however that ends.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Longer messages are cut. Only a status text can be as long, and the service manager cuts that, too.
const MAX_MESSAGE: usize = 4096;

/// The kind of a message: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Word {
    /// Parent: use this socket to talk to the process with this id; one of you takes over from the other.
    Meet = b'M',
    /// Parent: no successor could be started, for this reason.
    Failed = b'F',
    /// Child: start a successor of mine.
    Renew = b'R',
    /// Child: the process with this id has not taken over and must end.
    Abandon = b'A',
    /// Child: the process with this id has taken over from me.
    Succeeded = b'S',
    /// Child: send this to the service manager.
    Notify = b'N',
}

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    pub word: Word,
    pub text: String,
    pub socket: Option<UnixStream>,
}

impl Message {
    /// The process id in the message.
    pub fn pid(&self) -> u32 {
        self.text.parse().unwrap_or_default()
    }
}

/// One end of the channel.
#[derive(Debug)]
pub(super) struct Line(OwnedFd);

impl Line {
    /// Creates both ends.
    pub fn pair() -> io::Result<(Line, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Line(ours), theirs))
    }

    /// The end that this process was started with, as its standard input.
    pub fn of_stdin() -> io::Result<Line> {
        io::stdin().as_fd().try_clone_to_owned().map(Line)
    }

    pub fn send(&self, word: Word, text: &str, socket: Option<&UnixStream>) -> io::Result<()> {
        let sockets: Vec<_> = socket.map(AsFd::as_fd).into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&sockets));
        }
        let bytes = [&[word as u8], text.as_bytes()].concat();
        let bytes = &bytes[..bytes.len().min(MAX_MESSAGE)];
        sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message; `None` after the other process has ended.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut bytes = [0; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [IoSliceMut::new(&mut bytes)];
        let length = loop {
            match recvmsg(&self.0, &mut buffer, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?.bytes,
            }
        };
        let sockets = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        let socket = sockets.flatten().next().map(UnixStream::from);
        let Some((first, text)) = bytes[..length].split_first() else { return Ok(None) };
        let words = [Word::Meet, Word::Failed, Word::Renew, Word::Abandon, Word::Succeeded, Word::Notify];
        let word = words.into_iter().find(|word| *word as u8 == *first);
        let word = word.ok_or_else(|| io::Error::other("an unknown message from the other process"))?;
        Ok(Some(Message { word, text: String::from_utf8_lossy(text).into_owned(), socket }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn messages_arrive_whole_with_their_sockets_and_then_the_end() {
        let (ours, theirs) = Line::pair().unwrap();
        let theirs = Line(theirs);
        let (mut here, there) = UnixStream::pair().unwrap();
        ours.send(Word::Meet, "17", Some(&there)).unwrap();
        ours.send(Word::Notify, "READY=1\nSTATUS=x", None).unwrap();
        ours.send(Word::Notify, &"x".repeat(2 * MAX_MESSAGE), None).unwrap();
        drop((ours, there));
        let met = theirs.receive().unwrap().unwrap();
        assert_eq!((met.word, met.pid()), (Word::Meet, 17));
        met.socket.unwrap().write_all(b"hello").unwrap();
        let mut heard = String::new();
        here.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        let told = theirs.receive().unwrap().unwrap();
        assert_eq!((told.text.as_str(), told.socket.is_none()), ("READY=1\nSTATUS=x", true));
        assert_eq!(theirs.receive().unwrap().unwrap().text.len(), MAX_MESSAGE - 1);
        assert!(theirs.receive().unwrap().is_none());
    }
}
