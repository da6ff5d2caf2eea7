//! Leases a backend for one attempt: at once, or after waiting in the pool's wait queue.

use std::time::{Duration, Instant};

use super::Refusal;
use crate::pool::{ClientKey, Lease, Live, NoLease, Pool, Tried};
use crate::shutdown::ShutdownSignal;
use crate::watch::{Wait, Watch};

/// How long a waiting request sleeps at most before it checks whether its client has gone.
const PLACE_TURN: Duration = Duration::from_millis(50);

/// Leases a backend for one attempt; if all are at `max_connections`, waits in the queue.
pub(super) fn wait_for(
    pool: &Pool,
    client: &ClientKey<'_>,
    tried: &Tried,
    (live, watch, shutdown): (&Live, &Watch, &ShutdownSignal),
) -> Result<Lease, Refusal> {
    let started = Instant::now();
    match at_once(pool, client, tried) {
        Ok(lease) => return Ok(lease),
        Err(NoLease::NoneUsable) => return Err(Refusal::NoBackend),
        Err(NoLease::AllFull) => {}
    }
    let found = in_line(pool, client, tried, started, (live, watch, shutdown));
    watch.has_waited(Wait::Turn, started.elapsed());
    found
}

fn in_line(
    pool: &Pool,
    client: &ClientKey<'_>,
    tried: &Tried,
    started: Instant,
    (live, watch, shutdown): (&Live, &Watch, &ShutdownSignal),
) -> Result<Lease, Refusal> {
    let waiter = pool.wait_queue().join(live.config.limits.max_queue).ok_or(Refusal::QueueFull)?;
    loop {
        if waiter.is_first() {
            match pool.lease(client, tried, Instant::now()) {
                Ok(lease) => return Ok(lease),
                Err(NoLease::NoneUsable) => return Err(Refusal::NoBackend),
                Err(NoLease::AllFull) => {}
            }
        }
        let too_long = started.elapsed() >= live.config.timeouts.queue;
        if too_long || watch.is_client_gone() || shutdown.has_ended() {
            return Err(Refusal::QueueTimeout);
        }
        waiter.wait(PLACE_TURN);
    }
}

/// Leases a backend for one attempt, unless other requests wait already: those come first.
pub(super) fn at_once(pool: &Pool, client: &ClientKey<'_>, tried: &Tried) -> Result<Lease, NoLease> {
    match pool.wait_queue().is_empty() {
        true => pool.lease(client, tried, Instant::now()),
        false => Err(NoLease::AllFull),
    }
}
