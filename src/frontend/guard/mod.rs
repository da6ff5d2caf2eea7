//! Watches the connections that are not in a worker's hands, for tiny_http waits for ever: heads that
//! take too long or grow too large, idle connections, and more connections than there may be.
//!
//! One thread, one walk over the descriptors a tick. A connection's state follows from one figure of
//! the kernel: the bytes received so far, against their number when its last request ended.

mod busy;
mod closing;
mod judge;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::select;

use super::acceptor::Acceptor;
use super::connections::Connections;
use super::entry::Entry;
use super::socket::{self, ClientSocket, Seen};
use super::surplus::Surplus;
use crate::shutdown::Running;
use busy::{notice_resets, watch_busy};
use closing::{act, close_surplus};
use judge::{Verdict, judge};

/// A tick's pause is this many times what the walk took, so that the guard takes at most some 5 % of
/// a core however many connections there are ...
const PAUSE_FACTOR: u32 = 20;
/// ... but no longer than this ...
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// ... and no shorter than this, where new connections have come: one of them may be forgotten ...
const PROMPT_PAUSE: Duration = Duration::from_millis(5);
/// ... or else than this, which bounds what a hostile head can make the process grow.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// A head that is there but that tiny_http does not read gets that many times its time.
const PATIENCE: u32 = 3;

/// A connection that was shut so long ago and is still there will stay: tiny_http can't let it go.
const LEAKED: Duration = Duration::from_secs(3);

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct GuardSettings {
    /// From a head's first byte to its last.
    pub client_header: Duration,
    /// How long a connection may be silent between requests.
    pub client_idle: Duration,
    /// The same in a drain. One that is in use sends its next request before, and learns from the answer
    /// that it was the last.
    pub drain_idle: Duration,
    /// How long a body may not grow while a worker waits for it.
    pub client_body: Duration,
    /// Each wait of a write, of connections that come from now on.
    pub client_write: Duration,
    /// A head's size.
    pub max_header_bytes: u64,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_ip: Option<usize>,
}

/// Ticks until the end.
pub(super) fn run(
    connections: &Arc<Connections>,
    mut acceptor: Acceptor,
    settings: impl Fn() -> GuardSettings,
    running: &Running,
) {
    let mut pause = MIN_PAUSE;
    let mut dead = HashMap::new();
    let (mut found, mut surplus) = (Found::default(), Surplus::default());
    let (mut accepted, mut looked_after) = (false, Instant::now());
    while !rest(connections, &found, pause, running) {
        let started = Instant::now();
        let settings = settings();
        acceptor.limit_writes(settings.client_write);
        found = tick(connections, &settings, &mut dead, started);
        accepted |= found.accepted;
        if started - looked_after >= MIN_PAUSE {
            acceptor.look_after(accepted, started);
            (accepted, looked_after) = (false, started);
        }
        surplus.closed(found.surplus, &*connections.sink, started);
        pause = (started.elapsed() * PAUSE_FACTOR).clamp(PROMPT_PAUSE, MAX_PAUSE);
        if !found.unread.is_empty() && !running.wait(PROMPT_PAUSE) {
            // What a thread has, it has read by now.
            acceptor.nudge(found.unread.iter().filter(|fd| socket::unread_bytes(**fd) > 0).count());
        }
    }
}

/// Waits for the next tick; whether the end has come instead.
fn rest(connections: &Connections, found: &Found, pause: Duration, running: &Running) -> bool {
    if running.wait(pause) {
        return true;
    }
    if !found.unread.is_empty() {
        return false;
    }
    select! {
        recv(running.channel()) -> _ => true,
        // Those that come with it get a moment.
        recv(connections.newcomers) -> _ => running.wait(PROMPT_PAUSE),
        default(MIN_PAUSE.saturating_sub(pause)) => false,
    }
}

/// What a tick found for the acceptor.
#[derive(Debug, Default)]
struct Found {
    /// A connection was accepted since the last tick.
    accepted: bool,
    /// Where connections are that have bytes that nobody has read yet. tiny_http 0.12 counts a thread as
    /// waiting until it has woken up, so in a burst it queues more connections than there are threads to
    /// wake, and the rest wait for some other connection to end.
    unread: Vec<RawFd>,
    /// Connections that were one too many.
    surplus: u64,
}

fn tick(
    connections: &Arc<Connections>,
    settings: &GuardSettings,
    dead: &mut HashMap<RawFd, Instant>,
    now: Instant,
) -> Found {
    let walk = socket::walk(connections.local_port, connections.highest_fd.load(Relaxed));
    connections.highest_fd.store(walk.highest, Relaxed);
    let lost = lost_connections(dead, &walk.dead, now);
    let seen = walk.seen;
    connections.open.store(seen.len() as u64, Relaxed);
    let mut table = connections.table.lock();
    // Those that come and go between two walks are known by their requests.
    let accepted = connections.accepted.swap(false, Relaxed)
        || seen.iter().any(|seen| table.get(&seen.peer).is_none_or(|entry| entry.fd.is_none()));
    forget_gone(&mut table, &seen, now);
    notice_resets(connections, &mut table, &seen, now);
    let draining = connections.draining.load(Relaxed);
    let (mut leaked, mut unread) = (lost, Vec::new());
    let mut unsettled: Vec<(SocketAddr, bool)> = left_waiting(&table, &seen, now);
    for seen in &seen {
        let entry = table.entry(seen.peer).or_insert_with(|| Entry { mark: Some(0), ..Entry::new(now) });
        entry.fd = Some(seen.fd);
        if let Some(closed) = entry.closed.filter(|_| entry.busy.is_none()) {
            let socket = ClientSocket::at(seen.fd, seen.peer, connections.local_port);
            let is_new = socket.is_some_and(|socket| socket.cookie() != closed.cookie);
            if !entry.waiting.is_empty() {
                if is_new || !entry.was_left_after(now) {
                    unsettled.push((seen.peer, is_new));
                }
            } else if is_new {
                *entry = Entry { fd: Some(seen.fd), mark: Some(0), ..Entry::new(now) };
            }
            leaked += u64::from(!is_new && now.saturating_duration_since(closed.since) >= LEAKED);
            continue;
        }
        if entry.closed.is_some() {
            continue;
        }
        if let Some(watch) = entry.busy.clone() {
            watch_busy(connections, entry, &watch, seen, settings, now);
            continue;
        }
        if seen.received_bytes == 0 && socket::dropped_segments(seen.fd) > 0 {
            // Whoever speaks HTTP/2 is not heard (see `filter`), and would be taken for silent.
            act(connections, entry, seen, Verdict::Close, now);
            continue;
        }
        let verdict = judge(entry, seen.received_bytes, settings, draining, now);
        // What tiny_http has not read is not late, for a while.
        let is_patient = now.saturating_duration_since(entry.since) < settings.client_header * PATIENCE;
        let may_wait = is_patient && matches!(verdict, Verdict::Leave | Verdict::Refuse(408, _));
        if may_wait && entry.partial && socket::unread_bytes(seen.fd) > 0 {
            unread.push(seen.fd);
        } else {
            act(connections, entry, seen, verdict, now);
        }
    }
    connections.leaked.store(leaked, Relaxed);
    let shut = seen.iter().filter(|seen| table.get(&seen.peer).is_some_and(|entry| entry.closed.is_some()));
    connections.alive.store((seen.len() - shut.count()) as u64, Relaxed);
    connections.walks.fetch_add(1, Relaxed);
    let surplus = close_surplus(connections, &mut table, &seen, settings, now);
    drop(table);
    for (peer, is_new) in unsettled {
        connections.settle(peer, is_new);
    }
    Found { accepted, unread, surplus }
}

/// Connections without a client whose two descriptors have been there for too long.
fn lost_connections(since: &mut HashMap<RawFd, Instant>, dead: &[RawFd], now: Instant) -> u64 {
    let still: HashSet<RawFd> = dead.iter().copied().collect();
    since.retain(|fd, _| still.contains(fd));
    for fd in dead {
        since.entry(*fd).or_insert(now);
    }
    let lost = since.values().filter(|since| now.saturating_duration_since(**since) >= LEAKED).count();
    lost as u64 / 2
}

/// Entries whose connection is gone; one that came after the walk is younger than it.
fn forget_gone(table: &mut HashMap<SocketAddr, Entry>, seen: &[Seen], walked: Instant) {
    let living: HashSet<SocketAddr> = seen.iter().map(|seen| seen.peer).collect();
    table.retain(|peer, entry| {
        let touched = entry.closed.map_or(entry.since, |closed| closed.since);
        // What waits must be thrown away in order; see [`Connections::settle`].
        !entry.waiting.is_empty() || entry.busy.is_some() || living.contains(peer) || touched >= walked
    });
}

/// Closed connections that are gone and have left requests behind. What came since the walk began may be a
/// new connection's that it has not seen.
fn left_waiting(
    table: &HashMap<SocketAddr, Entry>,
    seen: &[Seen],
    walked: Instant,
) -> Vec<(SocketAddr, bool)> {
    let has_left = |entry: &Entry| {
        let is_over = entry.closed.is_some() && entry.busy.is_none();
        is_over && !entry.waiting.is_empty() && !entry.was_left_after(walked)
    };
    let mut left: HashSet<SocketAddr> =
        table.iter().filter(|(_, entry)| has_left(entry)).map(|(peer, _)| *peer).collect();
    for seen in seen {
        left.remove(&seen.peer);
    }
    left.into_iter().map(|peer| (peer, false)).collect()
}
