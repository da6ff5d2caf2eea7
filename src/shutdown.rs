//! Translates signals into control requests on one channel: drain, reload, renew.
//!
//! ctrlc handles Ctrl-C, signal-hook the other signals (ctrlc can't distinguish them). Stopping is *dropping
//! a sender*: every waiting thread has a [`ShutdownSignal`] in its `select!` or checks it between waits, and
//! need not know which signal it was.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, never, unbounded};
use log::Level::Info;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::logging::event;
use crate::supervised;

/// Stack of the thread that receives signals.
const STACK_BYTES: usize = 128 << 10;

/// Exit status after a second Ctrl-C, as a shell reports a process ended by SIGINT.
pub const INTERRUPTED: i32 = 130;

/// A request that a signal or another process makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Finish the requests in flight, accept no new ones, then exit. With the name of the signal.
    Drain(&'static str),
    /// Reload the configuration.
    Reload,
    /// Let a successor take over.
    Renew,
    /// Reopen the log files after they have been moved away.
    OpenLogsAgain,
    /// A child of this process has ended: a successor, or for process 1 any process.
    ChildEnded,
    /// The process that this one took over from has ended; sent by the thread that detects it.
    Orphaned,
}

/// The channel on which control requests arrive.
pub type ControlReceiver = Receiver<Control>;

/// Starts listening for signals; other threads can send control requests on the same channel. A second Ctrl-C
/// ends the process at once.
///
/// # Errors
/// The operating system refuses the handlers or the thread.
pub fn listen() -> io::Result<(Sender<Control>, ControlReceiver)> {
    // No limit, so that none is lost: only who may signal the process can make it grow, and the system merges
    // signals of a kind while one is pending.
    let (requests, inbox) = unbounded();
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
                // Operators of nginx and HAProxy send these to stop workers or to pause. They have no meaning
                // here, and their sender does not want to end the process.
                other => {
                    event(Info, "app", "this signal asks for nothing here", &[("signal", &name(other))]);
                    continue;
                }
            };
            let _ = requests.send(request);
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
        let _ = requests.send(Control::Drain("SIGINT"));
    };
    ctrlc::set_handler(handler).map_err(io::Error::other)
}

/// Held by every thread that must notice the shutdown, which is the drop of the [`ShutdownTrigger`].
#[derive(Clone)]
pub struct ShutdownSignal(Receiver<()>);

/// Ends all [`ShutdownSignal`]s when dropped.
pub struct ShutdownTrigger(#[allow(dead_code)] Sender<()>);

/// Creates a connected pair.
pub fn shutdown_pair() -> (ShutdownTrigger, ShutdownSignal) {
    let (sender, receiver) = bounded(0);
    (ShutdownTrigger(sender), ShutdownSignal(receiver))
}

impl ShutdownSignal {
    /// A signal that never comes, for tests and tools.
    pub fn forever() -> ShutdownSignal {
        ShutdownSignal(never())
    }

    /// Whether the shutdown has begun.
    pub fn has_ended(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Waits for `time` or until the shutdown; returns whether the shutdown has begun.
    pub fn wait(&self, time: Duration) -> bool {
        use crossbeam_channel::RecvTimeoutError::Disconnected;
        self.0.recv_timeout(time) == Err(Disconnected)
    }

    /// For a `select!`: becomes ready at the shutdown.
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
