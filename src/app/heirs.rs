//! What is left of the process that was started first when another one serves: it passes signals on, starts
//! successors' successors, and ends when the last of them has.

use crossbeam_channel::{Receiver, select};

use super::pid_file::PidFile;
use crate::logging::Logs;
use crate::renewal::Parent;
use crate::shutdown::Control;

/// See the module.
pub struct Heirs {
    pub(super) parent: Parent,
    /// Removed when all is over.
    pub(super) _pid_file: Option<PidFile>,
}

impl Heirs {
    /// Until all of them have ended; the status to end with.
    pub fn look_after(mut self, requests: &Receiver<Control>, logs: &Logs) -> i32 {
        let events = self.parent.events();
        loop {
            if let Some(status) = self.parent.end() {
                return status;
            }
            select! {
                recv(events) -> event => event.into_iter().for_each(|event| self.parent.heard(event)),
                recv(requests) -> request => if let Ok(request) = request {
                    if request == Control::OpenLogsAgain {
                        logs.open_again();
                    }
                    self.parent.pass_on(request);
                },
            }
        }
    }
}
