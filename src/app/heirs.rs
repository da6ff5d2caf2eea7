//! The remaining duties of the process that was started first, once a successor serves: it passes signals on,
//! starts the successors of successors, and ends when the last of them has ended.

use crossbeam_channel::{Receiver, select};

use super::pid_file::PidFile;
use crate::logging::Logs;
use crate::renewal::Parent;
use crate::shutdown::Control;

/// See the module.
pub struct Heirs {
    pub(super) parent: Parent,
    /// Removed when all processes have ended.
    pub(super) _pid_file: Option<PidFile>,
}

impl Heirs {
    /// Runs until all successors have ended; returns the exit status.
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
