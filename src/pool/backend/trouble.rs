//! What probes have found.

use std::time::SystemTime;

use crate::pool::health::Flip;
use crate::pool::problem::Problem;

/// Why probes fail, and since when they say so.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What the last one that failed said.
    pub problem: Problem,
    /// When one said that for the first time; another cause since is another trouble.
    pub since: SystemTime,
}

/// What a probe's result has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// The verdict.
    pub flip: Option<Flip>,
    /// Whether it is unhealthy as before, but for another cause.
    pub has_another_cause: bool,
}
