//! Frees connections that tiny_http has forgotten.
//!
//! tiny_http 0.12 counts a thread as waiting until it has woken up, so of a burst it gives several connections
//! to the same one, and all but one wait for some other connection to end. Such a connection is one whose
//! bytes nobody reads. One connection to ourselves, which ends at once, makes tiny_http start the thread that
//! was missing. The test that fails without it: `a_burst_of_connections_that_stay_open_left_some_unserved`.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use super::shared::Shared;
use super::socket::unread;

/// Between two looks while requests come ...
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// ... and while none do: a burst may come to a balancer that was idle.
const IDLE_PAUSE: Duration = Duration::from_millis(200);
/// Loopback connects at once unless the backlog is full, and then no nudge is needed.
const WAKE_LIMIT: Duration = Duration::from_millis(20);

/// For as long as the process lives; `address` leads to the listener.
pub(super) fn run(shared: &Arc<Shared>, address: SocketAddr) {
    let (mut before, mut arrived) = (HashSet::new(), 0);
    loop {
        let now = shared.arrived.load(Relaxed);
        let is_busy = now != arrived || !before.is_empty();
        arrived = now;
        thread::park_timeout(if is_busy { BUSY_PAUSE } else { IDLE_PAUSE });
        if shared.stops.load(Relaxed) {
            continue;
        }
        // What a thread has, it has read from one look to the next.
        let waiting = unread(shared.port);
        for _ in waiting.intersection(&before) {
            drop(TcpStream::connect_timeout(&address, WAKE_LIMIT));
        }
        before = waiting;
    }
}
