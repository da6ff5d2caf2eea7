//! Our defaults for features that other programs don't have.

use super::draft::{Draft, put};
use super::report::{Report, Verdict};

/// Switches off our circuit breaker and `Via`, for a program that has neither.
pub fn without_breaker_and_via(draft: &mut Draft, report: &mut Report) {
    put(&mut draft.top, "circuit_breaker.enabled", false);
    let note = "circuit_breaker.enabled is false; on, it saves requests from backends that fail";
    report.unsaid("no circuit breaker", Verdict::Same, note);
    put(&mut draft.top, "via", false);
}
