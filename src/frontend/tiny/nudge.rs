//! Frees connections that tiny_http has stranded.
//!
//! tiny_http 0.12 counts a thread as idle until it has woken up, so in a burst it gives several connections
//! to one thread, and all but the first wait until some other connection ends. The bytes of a stranded
//! connection stay unread. A connection to ourselves that ends at once makes tiny_http start the missing
//! thread. The test that fails without this: `a_burst_of_connections_that_stay_open_left_some_unserved`.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use super::shared::Shared;
use super::socket::unread;

/// Pause between two checks while requests arrive ...
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// ... and while none do: a burst may hit an idle balancer.
const IDLE_PAUSE: Duration = Duration::from_millis(200);
/// Loopback connects at once unless the backlog is full, and then no nudge is needed.
const WAKE_LIMIT: Duration = Duration::from_millis(20);

/// Runs as long as the process lives; `address` reaches the listener.
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
        // Unread at two checks in a row: no thread serves the connection.
        let waiting = unread(shared.port);
        for _ in waiting.intersection(&before) {
            drop(TcpStream::connect_timeout(&address, WAKE_LIMIT));
        }
        before = waiting;
    }
}
