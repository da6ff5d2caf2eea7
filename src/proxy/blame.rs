//! Decides whose fault a failed attempt is: the backend's, which its breaker counts, the client's, or the
//! request's own. Servers with small buffers close the connection when a request's head is too long for them;
//! without this decision, one such request would open the breakers of all its backends.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use log::Level::{Debug, Info, Warn};

use super::attempt::Prepared;
use crate::logging::event;
use crate::pool::{Backend, BreakerState, Lease, Undecided};
use crate::transport::{AttemptError, Cause, Stage};

/// Whose fault it is that no backend answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    Backends,
    Request,
}

/// Ends a failed attempt. The client's fault is logged at debug level only; neither it nor an answer that we
/// do not accept counts as the backend's failure. If the backend closed the connection before answering, the
/// decision waits for [`settle`].
pub(super) fn failed(lease: Lease, error: &AttemptError, prepared: &Prepared<'_>) -> Option<Undecided> {
    let is_clients = error.cause == Cause::Client;
    let backend = Arc::clone(lease.backend());
    let id = request_id_of(prepared);
    let fields: [(&str, &dyn Display); 3] =
        [("backend", &backend.name()), ("error", error), ("request_id", &id)];
    event(if is_clients { Debug } else { Warn }, "proxy", "attempt failed", &fields);
    if error.cause == Cause::TimedOut {
        lease.timed_out(Instant::now());
    }
    match error.cause {
        Cause::Client | Cause::Unacceptable(_) => None,
        Cause::Closed if error.stage > Stage::Connect => Some(lease.failed_perhaps()),
        _ => {
            note_breaker(lease.failed(Instant::now()), &backend);
            None
        }
    }
}

/// Decides the open cases. If at least two backends closed the connection and none `answered`, the request is
/// to blame; otherwise the failures count for the backends' breakers.
pub(super) fn settle(undecided: Vec<Undecided>, answered: bool) -> Blame {
    let backends: HashSet<u64> = undecided.iter().map(|failure| failure.backend().id()).collect();
    if backends.len() > 1 && !answered {
        return Blame::Request;
    }
    for failure in undecided {
        let backend = Arc::clone(failure.backend());
        note_breaker(failure.is_the_backend_s(Instant::now()), &backend);
    }
    Blame::Backends
}

pub(super) fn request_id_of(prepared: &Prepared<'_>) -> String {
    let id = prepared.headers().get("x-request-id").unwrap_or_default();
    String::from_utf8_lossy(id).into_owned()
}

/// Logs a breaker's change of state.
pub(super) fn note_breaker(change: Option<BreakerState>, backend: &Backend) {
    match change {
        Some(BreakerState::Open) => event(Warn, "breaker", "breaker OPEN", &[("backend", &backend.name())]),
        Some(state) => {
            let message = if state == BreakerState::Closed { "breaker CLOSED" } else { "breaker HALF-OPEN" };
            event(Info, "breaker", message, &[("backend", &backend.name())]);
        }
        None => {}
    }
}
