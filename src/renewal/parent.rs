//! The process that was started first, and its children. It starts every successor, including its successors'
//! successors, so that its supervisor (a service manager, a container runtime, a shell) has one child with a
//! constant process id, whose end is the end of all. As process 1 it also reaps orphans.

use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use log::Level::{Error, Warn};
use rustix::process::{Pid, Signal, WaitOptions, kill_process};

use super::line::{Line, Message, Word};
use super::origin::{MARK, Origin};
use crate::logging::event;
use crate::service_manager::ServiceManager;
use crate::shutdown::Control;
use crate::supervised;

/// The stack of a thread that reads a child's messages.
const STACK_BYTES: usize = 128 << 10;
/// The exit status if the serving child is unknown.
const FAILED: i32 = 1;
/// Added to the number of the signal that ended a process, as shells do.
const BY_SIGNAL: i32 = 128;

/// A message from a child.
#[derive(Debug)]
pub struct Event {
    pid: u32,
    /// `None` after the last message.
    message: Option<Message>,
}

#[derive(Debug)]
struct Child {
    pid: u32,
    line: Arc<Line>,
    has_hung_up: bool,
    status: Option<i32>,
}

/// See the module.
#[derive(Debug)]
pub struct Parent {
    origin: Origin,
    manager: Arc<ServiceManager>,
    children: Vec<Child>,
    /// The child that serves; `None` while this process does.
    serving: Option<u32>,
    inbox: (Sender<Event>, Receiver<Event>),
}

impl Parent {
    /// The parent role of this process.
    ///
    /// # Errors
    /// The system does not know the program's file.
    pub fn of_this_process(manager: Arc<ServiceManager>) -> io::Result<Parent> {
        Ok(Parent::of(Origin::of_this_process()?, manager))
    }

    pub(super) fn of(origin: Origin, manager: Arc<ServiceManager>) -> Parent {
        Parent { origin, manager, children: Vec::new(), serving: None, inbox: unbounded() }
    }

    /// Messages of children, to be passed to [`Parent::heard`].
    pub fn events(&self) -> Receiver<Event> {
        self.inbox.1.clone()
    }

    /// Starts a process that takes over from the process holding the other end of the returned socket.
    pub(super) fn start(&mut self) -> io::Result<(u32, UnixStream)> {
        let (line, theirs) = Line::pair()?;
        let (for_old, for_new) = UnixStream::pair()?;
        line.send(Word::Meet, &std::process::id().to_string(), Some(&for_new))?;
        // Children are reaped by process id, since process 1 also has children it has not started.
        #[allow(clippy::zombie_processes)]
        let child = Command::new(&self.origin.program)
            .args(&self.origin.arguments)
            .env(MARK, "1")
            .stdin(Stdio::from(theirs))
            .spawn()?;
        let (pid, line) = (child.id(), Arc::new(line));
        self.children.push(Child { pid, line: Arc::clone(&line), has_hung_up: false, status: None });
        let inbox = self.inbox.0.clone();
        let hear = move || {
            loop {
                let message = line.receive().ok().flatten();
                let is_last = message.is_none();
                if inbox.send(Event { pid, message }).is_err() || is_last {
                    return;
                }
            }
        };
        if let Err(error) = supervised::start("heir", STACK_BYTES, hear) {
            self.abandon(pid);
            return Err(error);
        }
        Ok((pid, for_old))
    }

    /// Kills a successor, which must not serve beside another process. Fails without harm if it has ended.
    pub(super) fn abandon(&mut self, pid: u32) {
        self.signal_one(pid, Signal::KILL);
    }

    /// Records that this child serves from now on.
    pub(super) fn succeeded_by(&mut self, pid: u32) {
        self.serving = Some(pid);
    }

    /// Whether a child serves, or was the last to serve.
    pub fn has_heir(&self) -> bool {
        self.serving.is_some()
    }

    /// Passes a request on to the child that serves, if there is one.
    pub fn pass_on(&mut self, request: Control) {
        if request == Control::ChildEnded {
            self.reap();
        }
        let Some(pid) = self.serving else { return };
        match request {
            // SIGTERM, not SIGINT: a terminal's Ctrl-C has reached all processes already, and a second one
            // would end them at once.
            Control::Drain(_) => self.signal_one(pid, Signal::TERM),
            Control::Reload => self.signal_one(pid, Signal::HUP),
            Control::Renew => self.signal_one(pid, Signal::USR2),
            Control::OpenLogsAgain => {
                self.children.iter().for_each(|child| self.signal_one(child.pid, Signal::USR1));
            }
            Control::ChildEnded | Control::Orphaned => {}
        }
    }

    fn signal_one(&self, pid: u32, signal: Signal) {
        let known = self.children.iter().any(|child| child.pid == pid && child.status.is_none());
        if let Some(pid) = number(pid).filter(|_| known) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Reaps all children that have ended, including those this process has not started.
    pub fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if let Some(child) = self.children.iter_mut().find(|child| child.pid == pid) {
                let status = ExitStatus::from_raw(status.as_raw());
                let by_signal = || BY_SIGNAL + status.signal().unwrap_or_default();
                child.status = Some(status.code().unwrap_or_else(by_signal));
            }
        }
    }

    /// Handles a child's message.
    pub fn heard(&mut self, Event { pid, message }: Event) {
        let Some(message) = message else {
            self.children.iter_mut().filter(|it| it.pid == pid).for_each(|it| it.has_hung_up = true);
            return;
        };
        match message.word {
            Word::Notify => self.manager.pass_on(&message.text),
            Word::Renew => self.renew(pid),
            Word::Abandon => self.abandon(message.pid()),
            Word::Succeeded => self.succeeded_by(message.pid()),
            Word::Meet | Word::Failed => {}
        }
    }

    /// Starts a successor of this child.
    fn renew(&mut self, of: u32) {
        let Some(line) = self.children.iter().find(|it| it.pid == of).map(|it| Arc::clone(&it.line)) else {
            return;
        };
        let told = match self.start() {
            Ok((pid, socket)) => line.send(Word::Meet, &pid.to_string(), Some(&socket)),
            Err(error) => line.send(Word::Failed, &error.to_string(), None),
        };
        if let Err(error) = told {
            event(Warn, "app", "the process that serves was not told of its successor", &[("error", &error)]);
        }
    }

    /// The exit status, when everything is over: the child that served last has ended and, unless it failed,
    /// all earlier ones have, too.
    pub fn end(&mut self) -> Option<i32> {
        let serving = self.serving?;
        let last = self.children.iter().find(|it| it.pid == serving);
        // Waits for its last messages, too, which come before the hang-up.
        let status = match last {
            Some(child) if child.has_hung_up => child.status?,
            Some(_) => return None,
            None => FAILED,
        };
        self.children.retain(|it| it.pid == serving || it.status.is_none());
        if status != 0 {
            let fields: [(&str, &dyn std::fmt::Display); 2] = [("pid", &serving), ("status", &status)];
            event(Error, "app", "the process that served has failed", &fields);
            return Some(status);
        }
        (self.children.len() == 1).then_some(status)
    }
}

fn number(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
