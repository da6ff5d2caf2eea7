//! What probes have found about a backend.

use std::time::SystemTime;

use crate::pool::health::Flip;
use crate::pool::problem::Problem;

/// Why probes fail, and since when.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The problem that the last failed probe reported.
    pub problem: Problem,
    /// When a probe first reported that problem; another problem starts a new `Trouble`.
    pub since: SystemTime,
}

/// What a probe's result has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// The change of health, if there was one.
    pub flip: Option<Flip>,
    /// Whether the backend is still unhealthy, but for another cause.
    pub has_another_cause: bool,
}
