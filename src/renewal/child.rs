//! A process that has taken over, and its parent, which starts the next successor for it and passes its
//! messages on to the service manager. When the parent is gone, nobody supervises this process any more, so
//! it drains.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::line::{Line, Word};
use crate::shutdown::Control;
use crate::supervised;

/// How long a new process may take to start: it looks up names, and the machine may be busy.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);

/// The stack of the thread that reads the parent's messages.
const STACK_BYTES: usize = 128 << 10;

/// The connection to this process's parent.
#[derive(Debug)]
pub struct ToParent {
    line: Arc<Line>,
    /// A successor's process id and the socket to it, or why there is none.
    answers: Receiver<Result<(u32, UnixStream), String>>,
}

impl ToParent {
    /// The parent, and the socket to the process that this one takes over from.
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
        // Ends successors that started after the time limit.
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

    /// A function that sends messages to the service manager through the parent, since the manager only
    /// accepts the parent's.
    pub fn notify(&self) -> impl Fn(&str) -> io::Result<()> + Send + Sync + 'static {
        let line = Arc::clone(&self.line);
        move |text| line.send(Word::Notify, text, None)
    }
}
