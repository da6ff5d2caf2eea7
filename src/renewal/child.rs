//! A process that has taken over, and its parent, which starts the next one for it and tells the service manager
//! what it has to say. When the parent has gone, nobody can end this one any more but by hand, so it drains.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::line::{Line, Word};
use crate::shutdown::Control;
use crate::supervised;

/// How long the new process may take to start: names are looked up, and the machine may be busy.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);

/// The stack of the thread that hears the parent.
const STACK_BYTES: usize = 128 << 10;

/// This process's parent.
#[derive(Debug)]
pub struct ToParent {
    line: Arc<Line>,
    /// A successor's number and the socket to talk to it, or why there is none.
    answers: Receiver<Result<(u32, UnixStream), String>>,
}

impl ToParent {
    /// The parent, and the socket to the process that this one is to take over from.
    ///
    /// # Errors
    /// The parent has ended, or this process was not started by one.
    pub fn of_this_process(requests: Sender<Control>) -> io::Result<(ToParent, UnixStream)> {
        let line = Arc::new(Line::of_stdin()?);
        let first = line.receive()?.and_then(|message| message.socket);
        let predecessor = first.ok_or_else(|| io::Error::other("nobody to take over from"))?;
        let (sender, answers) = unbounded();
        let heard = Arc::clone(&line);
        supervised::start("parent", STACK_BYTES, move || {
            while let Ok(Some(message)) = heard.receive() {
                let pid = message.pid();
                let answer = match (message.word, message.socket) {
                    (Word::Meet, Some(socket)) => Ok((pid, socket)),
                    _ => Err(message.text),
                };
                let _ = sender.send(answer);
            }
            let _ = requests.send(Control::Orphaned);
        })?;
        Ok((ToParent { line, answers }, predecessor))
    }

    pub(super) fn start(&self) -> io::Result<(u32, UnixStream)> {
        // Of one that came too late.
        self.answers.try_iter().flatten().for_each(|(pid, _)| self.abandon(pid));
        self.line.send(Word::Renew, "", None)?;
        match self.answers.recv_timeout(START_LIMIT) {
            Ok(answer) => answer.map_err(io::Error::other),
            Err(_) => Err(io::Error::other("the parent process does not answer")),
        }
    }

    pub(super) fn abandon(&self, pid: u32) {
        let _ = self.line.send(Word::Abandon, &pid.to_string(), None);
    }

    pub(super) fn succeeded_by(&self, pid: u32) {
        let _ = self.line.send(Word::Succeeded, &pid.to_string(), None);
    }

    /// How to tell the service manager something: the parent does, for others are not believed.
    pub fn notify(&self) -> impl Fn(&str) -> io::Result<()> + Send + Sync + 'static {
        let line = Arc::clone(&self.line);
        move |text| line.send(Word::Notify, text, None)
    }
}
