//! Watches the connections that are not in a worker's hands, for tiny_http waits for ever: heads that
//! take too long or grow too large, idle connections, and more connections than there may be.
//!
//! One thread, one walk over the descriptors a tick. A connection's state follows from one figure of
//! the kernel: the bytes received so far, against their number when its last request ended.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::select;
use log::Level::Info;

use super::acceptor::Acceptor;
use super::connections::Connections;
use super::entry::{Closed, Entry};
use super::socket::{self, ClientSocket, Seen};
use crate::http::address::network_of;
use crate::http::status;
use crate::logging::event;
use crate::shutdown::Running;
use crate::watch::Watch;

/// A tick's pause is this many times what the walk took, so that the guard takes at most some 5 % of
/// a core however many connections there are ...
const PAUSE_FACTOR: u32 = 20;
/// ... but no longer than this ...
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// ... and no shorter than this, where new connections have come: one of them may be forgotten ...
const PROMPT_PAUSE: Duration = Duration::from_millis(5);
/// ... or else than this, which bounds what a hostile head can make the process grow.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// A connection that was shut so long ago and is still there will stay: tiny_http can't let it go.
const LEAKED: Duration = Duration::from_secs(3);
/// A client that has ended its side may still wait for its answer, but is taken for gone after this;
/// nginx waits not at all, HAProxy by default for ever.
const GONE: Duration = Duration::from_millis(500);

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
    /// Each wait of a write. Taken when the listener starts.
    pub client_write: Duration,
    /// A head's size.
    pub max_header_bytes: u64,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_ip: Option<usize>,
}

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Leave,
    Close,
    Refuse(u16, &'static str),
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
    let mut found = Found::default();
    let (mut accepted, mut looked_after) = (false, Instant::now());
    while !rest(connections, &found, pause, running) {
        let started = Instant::now();
        found = tick(connections, &settings(), &mut dead, started);
        accepted |= found.accepted;
        if started - looked_after >= MIN_PAUSE {
            acceptor.look_after(accepted, started);
            (accepted, looked_after) = (false, started);
        }
        acceptor.nudge(found.forgotten);
        pause = (started.elapsed() * PAUSE_FACTOR).clamp(PROMPT_PAUSE, MAX_PAUSE);
    }
}

/// Waits for the next tick; whether the end has come instead.
fn rest(connections: &Connections, found: &Found, pause: Duration, running: &Running) -> bool {
    if running.wait(pause) {
        return true;
    }
    if found.unread > 0 {
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
    /// Connections with bytes that nobody has read yet.
    unread: usize,
    /// Those that have had them for two ticks. tiny_http 0.12 counts a thread as waiting until it has
    /// woken up, so in a burst it queues more connections than there are threads to wake, and the rest
    /// wait for some other connection to end.
    forgotten: usize,
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
    let (mut leaked, mut unread, mut forgotten) = (lost, 0, 0);
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
        let was_partial = entry.partial;
        let verdict = judge(entry, seen.received_bytes, settings, draining, now);
        act(connections, entry, seen, verdict, now);
        let is_unread = verdict == Verdict::Leave && entry.partial && socket::unread_bytes(seen.fd) > 0;
        unread += usize::from(is_unread);
        forgotten += usize::from(is_unread && was_partial);
    }
    connections.leaked.store(leaked, Relaxed);
    let shut = seen.iter().filter(|seen| table.get(&seen.peer).is_some_and(|entry| entry.closed.is_some()));
    connections.alive.store((seen.len() - shut.count()) as u64, Relaxed);
    connections.walks.fetch_add(1, Relaxed);
    close_surplus(connections, &mut table, &seen, settings, now);
    drop(table);
    for (peer, is_new) in unsettled {
        connections.settle(peer, is_new);
    }
    Found { accepted, unread, forgotten }
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

/// A request is with a worker: has its client gone, or stopped in the middle of its body?
fn watch_busy(
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
fn notice_resets(
    connections: &Connections,
    table: &mut HashMap<SocketAddr, Entry>,
    seen: &[Seen],
    now: Instant,
) {
    let living: std::collections::HashSet<SocketAddr> = seen.iter().map(|seen| seen.peer).collect();
    for (peer, entry) in table.iter_mut().filter(|(peer, _)| !living.contains(peer)) {
        let is_there = entry.fd.is_some_and(|fd| socket::is_at(fd, *peer, connections.local_port));
        if let (false, Some(watch)) = (is_there, entry.busy.clone()) {
            notice_end(entry, &watch, true, now);
        }
    }
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

fn judge(
    entry: &mut Entry,
    received_bytes: u64,
    settings: &GuardSettings,
    draining: bool,
    now: Instant,
) -> Verdict {
    // After a request the mark is taken at the next tick: an older figure would make an idle
    // connection look like a slow head. So would this one, if the request has ended since the walk.
    if entry.mark.is_none() && entry.since > now {
        return Verdict::Leave;
    }
    let mark = *entry.mark.get_or_insert(received_bytes);
    let head_bytes = received_bytes.saturating_sub(mark);
    if head_bytes == 0 {
        let most =
            if draining { settings.client_idle.min(settings.drain_idle) } else { settings.client_idle };
        let too_long = now.saturating_duration_since(entry.since) >= most;
        return if too_long { Verdict::Close } else { Verdict::Leave };
    }
    if !entry.partial {
        entry.partial = true;
        entry.since = now;
    }
    if head_bytes > settings.max_header_bytes {
        Verdict::Refuse(431, "head_too_large")
    } else if now.saturating_duration_since(entry.since) >= settings.client_header {
        Verdict::Refuse(408, "header_timeout")
    } else {
        Verdict::Leave
    }
}

/// Ends a connection. Under the table's lock, so that no worker writes at the same time; nothing here
/// waits.
fn act(connections: &Connections, entry: &mut Entry, seen: &Seen, verdict: Verdict, now: Instant) {
    if verdict == Verdict::Leave {
        return;
    }
    let Some(socket) = ClientSocket::at(seen.fd, seen.peer, connections.local_port) else { return };
    entry.closed = Some(Closed { since: now, cookie: socket.cookie() });
    match verdict {
        Verdict::Refuse(code, reason) => {
            let _ = socket.write_now(refusal(code, reason).as_bytes());
            socket.shutdown(Shutdown::Write);
            if code == 431 {
                // What is queued would still be parsed, and there may be megabytes of it.
                socket.reset();
            }
            event(
                Info,
                "guard",
                "refused",
                &[("status", &code), ("reason", &reason), ("client", &seen.peer)],
            );
        }
        Verdict::Close | Verdict::Leave => {}
    }
    socket.shutdown(Shutdown::Both);
}

/// An answer of ours to a head that never became a request.
pub(super) fn refusal(code: u16, reason: &str) -> String {
    let phrase = status::reason(code);
    let body = format!("{phrase}\n");
    format!(
        "HTTP/1.1 {code} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nX-LB-Reason: {reason}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// More connections than there may be, in all or from one address: the newest that are idle go.
fn close_surplus(
    connections: &Connections,
    table: &mut HashMap<SocketAddr, Entry>,
    seen: &[Seen],
    settings: &GuardSettings,
    now: Instant,
) {
    // Those whose client has gone end by themselves, and keep nobody out.
    let seen: Vec<&Seen> = seen.iter().filter(|seen| !seen.ended).collect();
    let mut surplus = seen.len().saturating_sub(settings.max_connections);
    let mut per_client: HashMap<IpAddr, usize> = HashMap::new();
    if surplus == 0 && settings.max_connections_per_ip.is_none() {
        return;
    }
    let mut newest_last = seen;
    newest_last.sort_by_key(|seen| table.get(&seen.peer).map(|entry| entry.since));
    for seen in newest_last.iter() {
        *per_client.entry(network_of(seen.peer.ip())).or_default() += 1;
    }
    for seen in newest_last.into_iter().rev() {
        let of_client = per_client.entry(network_of(seen.peer.ip())).or_default();
        let too_many = surplus > 0 || settings.max_connections_per_ip.is_some_and(|most| *of_client > most);
        let Some(entry) =
            table.get_mut(&seen.peer).filter(|entry| entry.busy.is_none() && entry.closed.is_none())
        else {
            continue;
        };
        if too_many {
            *of_client -= 1;
            surplus = surplus.saturating_sub(1);
            act(connections, entry, seen, Verdict::Close, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: GuardSettings = GuardSettings {
        client_header: Duration::from_secs(10),
        client_idle: Duration::from_secs(60),
        drain_idle: Duration::from_secs(1),
        client_body: Duration::from_secs(30),
        client_write: Duration::from_secs(30),
        max_header_bytes: 1000,
        max_connections: 10,
        max_connections_per_ip: None,
    };

    /// Ticks at these seconds with these bytes received, on a connection that is new at second 0.
    fn check(ticks: &[(u64, u64)], expected: Verdict) {
        let start = Instant::now();
        let mut entry = Entry { mark: Some(0), ..Entry::new(start) };
        let verdicts: Vec<_> = ticks
            .iter()
            .map(|(second, bytes)| {
                judge(&mut entry, *bytes, &SETTINGS, false, start + Duration::from_secs(*second))
            })
            .collect();
        let (last, before) = verdicts.split_last().unwrap();
        assert!(before.iter().all(|verdict| *verdict == Verdict::Leave), "{verdicts:?}");
        assert_eq!(*last, expected);
    }

    #[test]
    fn a_silent_connection_is_idle_and_a_started_head_is_timed_from_its_first_byte() {
        check(&[(1, 0), (59, 0)], Verdict::Leave);
        check(&[(1, 0), (60, 0)], Verdict::Close);
        check(&[(30, 0), (31, 1), (40, 9)], Verdict::Leave);
        check(&[(30, 0), (31, 1), (41, 9)], Verdict::Refuse(408, "header_timeout"));
    }

    #[test]
    fn a_head_may_not_grow_beyond_its_limit() {
        check(&[(1, 1000)], Verdict::Leave);
        check(&[(1, 1001)], Verdict::Refuse(431, "head_too_large"));
    }

    #[test]
    fn after_a_request_only_new_bytes_count() {
        let start = Instant::now();
        let mut entry = Entry::new(start);
        assert_eq!(judge(&mut entry, 500_000, &SETTINGS, false, start), Verdict::Leave);
        assert_eq!(judge(&mut entry, 500_001, &SETTINGS, true, start), Verdict::Leave, "a head is under way");
        assert!(entry.partial);
    }

    #[test]
    fn a_request_that_ended_after_the_walk_is_no_slow_head() {
        let walked = Instant::now();
        let mut entry = Entry::new(walked + Duration::from_millis(1));
        assert_eq!(judge(&mut entry, 0, &SETTINGS, false, walked), Verdict::Leave);
        let later = walked + SETTINGS.client_header + Duration::from_secs(1);
        assert_eq!(judge(&mut entry, 84, &SETTINGS, false, later), Verdict::Leave);
        assert_eq!((entry.mark, entry.partial), (Some(84), false));
    }

    #[test]
    fn a_drain_closes_what_has_been_idle_for_a_moment() {
        let start = Instant::now();
        let mut entry = Entry::new(start);
        assert_eq!(judge(&mut entry, 7, &SETTINGS, true, start), Verdict::Leave);
        assert_eq!(judge(&mut entry, 7, &SETTINGS, true, start + SETTINGS.drain_idle), Verdict::Close);
    }
}
