//! What the current thread's attempt is doing: ureq runs on the caller's thread and hands nothing
//! through to its connector and transport, so they meet here.
//!
//! [`begin`] starts an attempt and [`end`] takes the notes back; between the two the parts of this
//! folder read and write them through [`with`].

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wire::Wire;
use super::{Limits, Stage};
use crate::watch::Watch;

/// Notes of one attempt.
#[derive(Debug)]
pub struct Attempt {
    /// The request's head, until it has been written in place of ureq's.
    pub head: Option<Vec<u8>>,
    /// The attempt's limits.
    pub limits: Limits,
    /// When the answer's head must be complete.
    pub deadline: Instant,
    /// Who can end the wait before its time.
    pub watch: Option<Arc<Watch>>,
    /// Whether the connection itself is wanted when the backend grants an upgrade.
    pub upgrade: bool,
    /// That connection, and what was read from it beyond the head.
    pub tunnel: Option<(Arc<Wire>, Vec<u8>)>,
    /// Whether an idle connection may serve.
    pub may_reuse: bool,
    /// Whether an idle connection did serve.
    pub reused: bool,
    /// How far it came.
    pub stage: Stage,
    /// The backend stopped taking the body but may have answered; see `stream`.
    pub body_refused: bool,
    /// Some of the answer's body came in with its head.
    pub body_is_here: bool,
    /// The reader of the request body failed: the client's fault.
    pub client_failed: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Attempt>> = const { RefCell::new(None) };
}

/// Starts an attempt on this thread; one that was left over from a panic is forgotten.
pub fn begin(head: Vec<u8>, limits: Limits, watch: Option<Arc<Watch>>, upgrade: bool, may_reuse: bool) {
    let attempt = Attempt {
        head: Some(head),
        limits,
        deadline: Instant::now() + limits.request,
        watch,
        upgrade,
        tunnel: None,
        may_reuse,
        reused: false,
        stage: Stage::Connect,
        body_refused: false,
        body_is_here: false,
        client_failed: false,
    };
    CURRENT.set(Some(attempt));
}

/// Ends the attempt on this thread and gives its notes.
pub fn end() -> Option<Attempt> {
    CURRENT.take()
}

/// Reads or writes the notes; `None` where no attempt is under way, that is while an answer's body is
/// read.
pub fn with<R>(f: impl FnOnce(&mut Attempt) -> R) -> Option<R> {
    CURRENT.with_borrow_mut(|current| current.as_mut().map(f))
}

/// How long the next read may wait: the rest of the attempt's time, or `otherwise` when the head is
/// in. Zero when the time is up.
pub fn read_patience(otherwise: Duration) -> Duration {
    with(|attempt| attempt.deadline.saturating_duration_since(Instant::now())).unwrap_or(otherwise)
}
