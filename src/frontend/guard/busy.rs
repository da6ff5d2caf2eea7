//! Connections whose request is with a worker: has the client gone, or stopped in the middle of its body?

use std::collections::{HashMap, HashSet};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use super::GuardSettings;
use crate::frontend::connections::Connections;
use crate::frontend::entry::Entry;
use crate::frontend::socket::{self, ClientSocket, Seen};
use crate::watch::Watch;

/// A client that has ended its side may still wait for its answer, but is taken for gone after this;
/// nginx waits not at all, HAProxy by default for ever.
const GONE: Duration = Duration::from_millis(500);

/// A request is with a worker: has its client gone, or stopped in the middle of its body?
pub(super) fn watch_busy(
    connections: &Connections,
    entry: &mut Entry,
    watch: &Watch,
    seen: &Seen,
    settings: &GuardSettings,
    now: Instant,
) {
    notice_end(entry, watch, seen.ended, now);
    if !watch.is_reading_body() {
        entry.body_progress = None;
        return;
    }
    match entry.body_progress {
        Some((bytes, since)) if bytes == seen.received_bytes => {
            let stalled = now.saturating_duration_since(since) >= settings.client_body;
            if let (true, Some(socket)) =
                (stalled, ClientSocket::at(seen.fd, seen.peer, connections.local_port))
            {
                watch.body_has_timed_out();
                socket.shutdown(Shutdown::Read);
            }
        }
        _ => entry.body_progress = Some((seen.received_bytes, now)),
    }
}

fn notice_end(entry: &mut Entry, watch: &Watch, ended: bool, now: Instant) {
    if !ended {
        entry.gone_since = None;
        return;
    }
    let since = *entry.gone_since.get_or_insert(now);
    if now.saturating_duration_since(since) >= GONE {
        watch.client_has_gone();
    }
}

/// A connection that was reset has no peer any more, so the walk does not find it. One that the walk has
/// only missed (it came from the port of one before) is seen again before its client is taken for gone.
pub(super) fn notice_resets(
    connections: &Connections,
    table: &mut HashMap<SocketAddr, Entry>,
    seen: &[Seen],
    now: Instant,
) {
    let living: HashSet<SocketAddr> = seen.iter().map(|seen| seen.peer).collect();
    for (peer, entry) in table.iter_mut().filter(|(peer, _)| !living.contains(peer)) {
        let is_there = entry.fd.is_some_and(|fd| socket::is_at(fd, *peer, connections.local_port));
        if let (false, Some(watch)) = (is_there, entry.busy.clone()) {
            notice_end(entry, &watch, true, now);
        }
    }
}
