//! What is known of one client connection.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

use crate::watch::Watch;

/// Requests that a connection may have waiting, however large; browsers that ever pipelined sent 4 to 8.
pub(super) const MAX_PIPELINED: usize = 16;
/// Smaller ones may be more, until they take this.
const MAX_PIPELINED_BYTES: usize = 128 << 10;
/// What tiny_http keeps of a request besides its head's texts, and of each field.
const REQUEST_BYTES: usize = 512;
const FIELD_BYTES: usize = 64;
/// Longer bodies are not read before their turn.
const MAX_READ_BODY: usize = 1024;

/// A request as tiny_http delivers it.
pub(super) type Raw = tiny_http::Request;

/// One connection.
pub(super) struct Entry {
    /// A request of it is queued or with a worker; shared with whoever handles it.
    pub busy: Option<Arc<Watch>>,
    /// Pipelined requests behind that one.
    pub waiting: VecDeque<Raw>,
    /// What they take in memory, about.
    pub waiting_bytes: usize,
    /// When the last of them came, where that was after we had shut the connection down.
    pub left_at: Option<Instant>,
    /// We have shut it down; what still comes from it is thrown away.
    pub closed: Option<Closed>,
    /// Where its descriptor was last seen.
    pub fd: Option<RawFd>,
    /// Bytes received when its last request ended; `None` until the guard has looked.
    pub mark: Option<u64>,
    /// Since when it has been idle, or its head under way.
    pub since: Instant,
    /// Whether a head is under way.
    pub partial: bool,
    /// While busy: since when the client has been gone.
    pub gone_since: Option<Instant>,
    /// While a body is read: bytes received when last looked at, and since when they have not changed.
    pub body_progress: Option<(u64, Instant)>,
}

/// A connection that we have shut down and that may still be in tiny_http's hands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    /// Since when.
    pub since: Instant,
    /// The kernel's number of it, to tell it from a later connection of the same peer; 0 where it was gone
    /// already, so that whatever comes from there is another one.
    pub cookie: u64,
}

impl Entry {
    /// Whether what waits came after this moment, so that nothing seen then tells whose it is.
    pub fn was_left_after(&self, moment: Instant) -> bool {
        self.left_at.is_some_and(|left| left >= moment)
    }

    /// One that was accepted just now, as far as is known.
    pub fn new(now: Instant) -> Entry {
        Entry {
            busy: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            left_at: None,
            closed: None,
            fd: None,
            mark: None,
            since: now,
            partial: false,
            gone_since: None,
            body_progress: None,
        }
    }

    /// Whether one more may wait.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_PIPELINED || self.waiting_bytes < MAX_PIPELINED_BYTES
    }

    /// One more waits.
    pub fn wait(&mut self, request: Raw) {
        self.waiting_bytes += bytes_of(&request);
        self.waiting.push_back(request);
    }

    /// A request's turn has come.
    pub fn begin(&mut self) -> Arc<Watch> {
        let watch = Arc::new(Watch::default());
        self.busy = Some(Arc::clone(&watch));
        self.gone_since = None;
        self.body_progress = None;
        watch
    }

    /// A request has ended; the next one's turn, if one waits.
    pub fn end(&mut self, now: Instant) -> Option<(Raw, Arc<Watch>)> {
        self.busy = None;
        self.mark = None;
        self.partial = false;
        self.since = now;
        let next = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes_of(&next));
        Some((next, self.begin()))
    }
}

/// What it takes in memory, about; a short body is in it already.
fn bytes_of(request: &Raw) -> usize {
    let fields = request.headers().iter();
    let fields: usize =
        fields.map(|field| FIELD_BYTES + field.field.as_str().as_str().len() + field.value.len()).sum();
    REQUEST_BYTES + request.url().len() + fields + request.body_length().unwrap_or(0).min(MAX_READ_BODY)
}
