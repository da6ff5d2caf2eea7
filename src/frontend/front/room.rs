//! Makes room for new connections at the limit: closes silent connections, the longest silent first.
//! Otherwise a few thousand idle connections could lock out all other clients.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::conn::Stage;
use super::core::Core;
use super::table::Holder;

/// Shortest time between two searches through all connections.
const SEARCH_PAUSE: Duration = Duration::from_millis(100);
/// Connections silent for less than this are kept: they may be about to send something.
const MIN_SILENCE: Duration = Duration::from_millis(500);
/// Most silent connections remembered from one search.
const MAX_FOUND: usize = 1024;

/// See the module.
pub(super) struct Room {
    /// Connections silent at the last search: whether between requests (others go first), since when, and the
    /// key.
    silent: VecDeque<(bool, Instant, usize)>,
    searched: Option<Instant>,
}

impl Room {
    pub fn new() -> Room {
        Room { silent: VecDeque::new(), searched: None }
    }

    /// Closes one silent connection; `false` if none has been silent for long enough. Takes locks, one after
    /// the other.
    pub fn make(&mut self, core: &Core, now: Instant) -> bool {
        loop {
            if let Some((_, since, index)) = self.silent.pop_front() {
                if close(core, index, since) {
                    return true;
                }
                continue;
            }
            let is_early = self.searched.is_some_and(|at| now.saturating_duration_since(at) < SEARCH_PAUSE);
            if is_early {
                return false;
            }
            self.search(core, now);
        }
    }

    fn search(&mut self, core: &Core, now: Instant) {
        self.searched = Some(now);
        let mut silent: Vec<(bool, Instant, usize)> = Vec::new();
        for index in core.table.indices() {
            let Some(slot) = core.table.slot(index) else { continue };
            let slot = slot.lock();
            if let Holder::Slot(conn) = &slot.holder
                && conn.output.is_empty()
                && now.saturating_duration_since(conn.since) >= MIN_SILENCE
            {
                // Clients without a request so far go first, and those in the middle of a head.
                silent.push((conn.requests > 0 && conn.stage == Stage::Idle, conn.since, slot.key));
            }
        }
        silent.sort_unstable();
        silent.truncate(MAX_FOUND);
        self.silent = silent.into();
    }
}

/// Closes the connection if it has been silent since then.
fn close(core: &Core, index: usize, since: Instant) -> bool {
    let Some(slot) = core.table.slot(index) else { return false };
    let mut slot = slot.lock();
    if slot.key != index {
        return false;
    }
    match std::mem::replace(&mut slot.holder, Holder::Front) {
        Holder::Slot(conn) if conn.since == since && !conn.has_unread() => {
            drop(slot);
            drop(conn);
            true
        }
        other => {
            slot.holder = other;
            false
        }
    }
}
