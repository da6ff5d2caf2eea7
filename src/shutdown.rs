//! Signals become meanings on one channel: drain, reload, hand over.
//!
//! ctrlc has Ctrl-C, signal-hook the others (ctrlc can't tell them apart). Stopping itself is
//! *dropping a sender*: every thread that waits has a [`ShutdownSignal`] in its `select!` or asks it between
//! waits, and no thread needs to know which signal it was.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, never};
use log::Level::Info;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::logging::event;
use crate::supervised;

/// The stack of the thread that hears signals.
const STACK_BYTES: usize = 128 << 10;

/// Exit status after a second Ctrl-C, as a shell reports a process ended by SIGINT.
pub const INTERRUPTED: i32 = 130;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Finish what is under way, take nothing new, then exit. The name of the signal goes with it.
    Drain(&'static str),
    /// Read the configuration again.
    Reload,
    /// Let a fresh process take over.
    Renew,
    /// Open the log files again, for somebody has moved them away.
    OpenLogsAgain,
    /// A child of this process has ended: one that has taken over, or, as process 1, anybody's.
    ChildEnded,
    /// The process that has started this one to take over has ended; sent by who hears it.
    Orphaned,
}

/// Where the signals' meanings arrive.
pub type ControlReceiver = Receiver<Control>;

/// Starts listening for signals; others may ask in the same way. A second Ctrl-C ends the process at once.
///
/// # Errors
/// Where the operating system refuses the handlers or the thread.
pub fn listen() -> io::Result<(Sender<Control>, ControlReceiver)> {
    let (requests, inbox) = bounded(16);
    let sender = requests.clone();
    listen_for_ctrl_c(requests.clone())?;
    let mut signals =
        Signals::new([SIGTERM, SIGQUIT, SIGHUP, SIGUSR2, SIGUSR1, SIGCHLD, SIGWINCH, SIGTTIN, SIGTTOU])?;
    supervised::start("signals", STACK_BYTES, move || {
        for signal in signals.forever() {
            let request = match signal {
                SIGHUP => Control::Reload,
                SIGUSR2 => Control::Renew,
                SIGUSR1 => Control::OpenLogsAgain,
                SIGCHLD => Control::ChildEnded,
                SIGTERM => Control::Drain("SIGTERM"),
                SIGQUIT => Control::Drain("SIGQUIT"),
                // What operators of nginx and HAProxy send to stop workers and to pause: nothing of that is to be
                // done here, and nobody who sends one means to end the process.
                other => {
                    event(Info, "app", "this signal asks for nothing here", &[("signal", &name(other))]);
                    continue;
                }
            };
            let _ = requests.try_send(request);
        }
    })?;
    Ok((sender, inbox))
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGWINCH => "SIGWINCH",
        SIGTTIN => "SIGTTIN",
        _ => "SIGTTOU",
    }
}

fn listen_for_ctrl_c(requests: Sender<Control>) -> io::Result<()> {
    let pressed = AtomicU32::new(0);
    let handler = move || {
        if pressed.fetch_add(1, SeqCst) > 0 {
            std::process::exit(INTERRUPTED);
        }
        let _ = requests.try_send(Control::Drain("SIGINT"));
    };
    ctrlc::set_handler(handler).map_err(io::Error::other)
}

/// Held by every thread that must hear the end; the end is the drop of the [`ShutdownTrigger`].
#[derive(Clone)]
pub struct ShutdownSignal(Receiver<()>);

/// Ends all [`ShutdownSignal`]s when dropped.
pub struct ShutdownTrigger(#[allow(dead_code)] Sender<()>);

/// A pair of the two.
pub fn shutdown_pair() -> (ShutdownTrigger, ShutdownSignal) {
    let (sender, receiver) = bounded(0);
    (ShutdownTrigger(sender), ShutdownSignal(receiver))
}

impl ShutdownSignal {
    /// One that never ends, for tests and tools.
    pub fn forever() -> ShutdownSignal {
        ShutdownSignal(never())
    }

    /// Whether the end has come.
    pub fn has_ended(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Waits that long, or until the end; whether the end has come.
    pub fn wait(&self, time: Duration) -> bool {
        use crossbeam_channel::RecvTimeoutError::Disconnected;
        self.0.recv_timeout(time) == Err(Disconnected)
    }

    /// For a `select!`: becomes ready at the end.
    pub fn channel(&self) -> &Receiver<()> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn dropping_the_ender_wakes_all() {
        let (trigger, shutdown) = shutdown_pair();
        assert!(!shutdown.has_ended());
        assert!(!shutdown.wait(Duration::from_millis(1)));
        let waiter = {
            let shutdown = shutdown.clone();
            thread::spawn(move || shutdown.wait(Duration::from_secs(60)))
        };
        drop(trigger);
        assert!(waiter.join().unwrap());
        assert!(shutdown.has_ended());
    }
}
