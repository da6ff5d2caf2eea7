//! A place with a backend, for one attempt: at once, or in the pool's line.

use std::time::{Duration, Instant};

use super::Refusal;
use crate::pool::{ClientKey, Lease, Live, NoLease, Pool, Tried};
use crate::shutdown::ShutdownSignal;
use crate::watch::{Wait, Watch};

/// How long a request that waits for a place with a backend sleeps at most: so soon it is noticed that
/// its client has gone.
const PLACE_TURN: Duration = Duration::from_millis(50);

/// A backend for one attempt; where all have as many requests as they may have, waits for a place.
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

/// A backend for one attempt, unless somebody waits for one already: who waits comes first.
pub(super) fn at_once(pool: &Pool, client: &ClientKey<'_>, tried: &Tried) -> Result<Lease, NoLease> {
    match pool.wait_queue().is_empty() {
        true => pool.lease(client, tried, Instant::now()),
        false => Err(NoLease::AllFull),
    }
}
