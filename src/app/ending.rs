//! The end of the process: a drain after a signal, or a hand-over to a successor and then a drain.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, select, tick};
use log::Level::{Error, Info};

use super::{App, Heirs, admin_overrides};
use crate::frontend::{Counts, Listener};
use crate::logging::event;
use crate::renewal::Successor;
use crate::shutdown::Control;

/// How often a drain logs the requests still in flight.
const DRAIN_REPORT: Duration = Duration::from_secs(1);
/// How many of the requests in flight this line names.
const DRAIN_NAMES: usize = 3;
/// How often a drain checks whether it is over.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// The result of a renewal.
enum Renewal {
    Done,
    Failed,
    /// Called off by a signal with this name that asks for the end.
    CalledOff(&'static str),
}

/// Why the process ends.
enum End {
    /// A signal with this name.
    Signal(&'static str),
    /// A successor has taken over.
    HandedOver,
}

impl App {
    /// Serves until a signal asks for the end or a successor has taken over, then drains. Returns when all
    /// requests are answered or the time for it is over; with the successors that this process must then look
    /// after, if any.
    pub fn wait(self, requests: &Receiver<Control>) -> Option<Heirs> {
        let end = self.serve(requests);
        let limit = self.live.get().config.timeouts.drain;
        let (signal, active) = (end.name(), self.in_flight.active());
        event(
            Info,
            "app",
            "draining",
            &[("signal", &signal), ("in_flight", &active), ("timeout_s", &limit.as_secs_f64())],
        );
        match end {
            End::Signal(_) => {
                self.manager.draining(self.live.get().config.timeouts.pre_drain + limit);
                self.drain(limit, requests);
            }
            End::HandedOver => self.drain_after_hand_over(limit, requests),
        }
        self.listeners.iter().for_each(|listener| listener.end());
        let accepted = self.in_flight.accepted();
        let answered = self.in_flight.answered().saturating_sub(self.sum(|counts| counts.unsent));
        let cut = accepted.saturating_sub(answered);
        event(Info, "app", "stopped", &[("accepted", &accepted), ("answered", &answered), ("cut", &cut)]);
        let pid_file = self.pid_file;
        self.succession.into_parent().map(|parent| Heirs { parent, _pid_file: pid_file })
    }

    fn serve(&self, requests: &Receiver<Control>) -> End {
        let children = self.succession.events();
        loop {
            let request = select! {
                // Events of successors that have failed.
                recv(children) -> event => {
                    event.into_iter().for_each(|event| self.succession.heard(event));
                    continue;
                }
                recv(requests) -> request => request,
            };
            match request {
                Ok(Control::ChildEnded) => self.succession.reap(),
                Ok(Control::Orphaned) => return End::Signal("the end of the parent process"),
                Ok(Control::Drain(signal)) => return End::Signal(signal),
                Ok(Control::Renew) => match self.renew(requests) {
                    Renewal::Done => return End::HandedOver,
                    Renewal::CalledOff(signal) => return End::Signal(signal),
                    Renewal::Failed => {}
                },
                Ok(Control::OpenLogsAgain) => self.logs.open_again(),
                // Mistakes in the file are logged.
                Ok(Control::Reload) => _ = self.reloader.reload(),
                Err(_) => return End::Signal("none"),
            }
        }
    }

    /// Hands over to a successor unless this process is asked to end in the meantime.
    fn renew(&self, requests: &Receiver<Control>) -> Renewal {
        let (mut ends, mut is_reload_due) = (None, false);
        // A reload is left to the new process, which reads the configuration anew; if there is none, it is done
        // here afterwards.
        let mut is_called_off = || {
            while let Ok(request) = requests.try_recv() {
                match request {
                    Control::Drain(signal) => ends = Some(signal),
                    Control::Orphaned => ends = Some("the end of the parent process"),
                    Control::ChildEnded => self.succession.reap(),
                    Control::OpenLogsAgain => self.logs.open_again(),
                    Control::Reload => is_reload_due = true,
                    Control::Renew => {}
                }
            }
            ends.is_some()
        };
        let handed_over = self.hand_over(&mut is_called_off);
        match handed_over {
            Ok(pid) => {
                self.is_watched.store(false, Relaxed);
                event(Info, "app", "another process has taken over", &[("pid", &pid)]);
                Renewal::Done
            }
            Err(error) => {
                event(Error, "app", "renewal failed, this process goes on", &[("error", &error)]);
                if is_reload_due && ends.is_none() {
                    // What is wrong with the file is in the log.
                    let _ = self.reloader.reload();
                }
                ends.map_or(Renewal::Failed, Renewal::CalledOff)
            }
        }
    }

    fn hand_over(&self, is_called_off: impl FnMut() -> bool) -> std::io::Result<u32> {
        let listeners: Vec<_> = self.listeners.iter().map(|listener| listener.listener()).collect();
        let set_by_hand = admin_overrides::told(&self.live.get());
        let successor =
            Successor::start(&self.succession, &listeners, self.sockets_stay, &set_by_hand, is_called_off)?;
        let paused = self.listeners.iter().try_for_each(|listener| listener.pause());
        if let Err(error) = paused.and_then(|()| successor.go()) {
            successor.abandon();
            self.listeners.iter().try_for_each(|listener| listener.resume())?;
            return Err(error);
        }
        Ok(successor.pid())
    }

    fn drain(&self, limit: Duration, requests: &Receiver<Control>) {
        self.draining.store(true, Relaxed);
        // From now on answers tell clients to reconnect, which leads them to another balancer.
        self.listeners.iter().for_each(|listener| listener.announce_end());
        let pre_drain = self.live.get().config.timeouts.pre_drain;
        // `/lb-health` answers 503 from now on; this gives health checks of whatever sends clients here time
        // to see it.
        if !pre_drain.is_zero() {
            self.shutdown.wait(pre_drain);
        }
        if self.sockets_stay && self.stop_accepting() {
            return self.drain_after_hand_over(limit, requests);
        }
        self.listeners.iter().for_each(|listener| listener.drain());
        self.wait_until_over(limit, requests);
    }

    fn sum(&self, count: impl Fn(Counts) -> u64) -> u64 {
        self.listeners.iter().map(|listener| count(listener.counts())).sum()
    }

    /// Stops accepting but keeps the sockets open: new clients wait in the sockets' backlogs, which a service
    /// manager keeps for the process that it starts next.
    fn stop_accepting(&self) -> bool {
        let paused = self.listeners.iter().try_for_each(|listener| listener.pause());
        if let Err(error) = &paused {
            event(Error, "app", "the sockets could not be kept for the next process", &[("error", error)]);
        }
        paused.is_ok()
    }

    /// Drains without an interruption for clients: the answer on a connection in use announces that it is the
    /// last.
    fn drain_after_hand_over(&self, limit: Duration, requests: &Receiver<Control>) {
        self.listeners.iter().for_each(|listener| listener.drain_after_pause());
        self.wait_until_over(limit, requests);
    }

    /// Whether all requests are answered, all answers are taken, and no connection can bring another request.
    fn is_over(&self) -> bool {
        let is_quiet = |listener: &Arc<dyn Listener>| {
            let counts = listener.counts();
            counts.unsent == 0 && !counts.may_hear_more
        };
        self.in_flight.active() == 0 && self.listeners.iter().all(is_quiet)
    }

    fn wait_until_over(&self, limit: Duration, requests: &Receiver<Control>) {
        let (deadline, report, look) = (after(limit), tick(DRAIN_REPORT), tick(DRAIN_LOOK));
        let children = self.succession.events();
        while !self.is_over() && !self.succession.has_failed() {
            select! {
                recv(children) -> event => event.into_iter().for_each(|event| self.succession.heard(event)),
                recv(self.in_flight.ended()) -> _ => {}
                recv(look) -> _ => {}
                recv(report) -> _ => self.report_drain(),
                recv(deadline) -> _ => return self.report_drain(),
                recv(requests) -> request => if let Ok(request) = request {
                    match request {
                        Control::OpenLogsAgain => self.logs.open_again(),
                        // With the parent process gone, nobody waits for the drain.
                        Control::Orphaned => return self.report_drain(),
                        // Others have no effect any more (a second Ctrl-C has ended the process already).
                        _ => {}
                    }
                    // Passes it on to the process that has taken over, if there is one.
                    self.succession.pass_on(request);
                }
            }
        }
    }

    fn report_drain(&self) {
        let active = self.in_flight.active();
        let oldest = self.in_flight.oldest(DRAIN_NAMES).join(", ");
        let unsent = self.sum(|counts| counts.unsent);
        let mut fields: Vec<(&str, &dyn std::fmt::Display)> =
            vec![("in_flight", &active), ("oldest", &oldest)];
        if unsent > 0 {
            fields.push(("unsent", &unsent));
        }
        event(Info, "app", "still in flight", &fields);
    }
}

impl End {
    fn name(&self) -> &'static str {
        match self {
            End::Signal(name) => name,
            End::HandedOver => "renewal",
        }
    }
}
