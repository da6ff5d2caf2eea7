//! The thread that samples the history every few seconds.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::Figures;
use crate::metrics::history::{INTERVAL, Now};
use crate::pool::{Live, SharedLive};
use crate::shutdown::ShutdownSignal;
use crate::supervised;

/// Stack of a thread that only reads figures.
const STACK_BYTES: usize = 128 << 10;

/// Starts the thread. The first sample is taken at once, before any request, so that the first figures have
/// something to be compared with.
///
/// # Errors
/// The operating system's, for the thread.
pub fn keep(figures: Arc<Figures>, live: Arc<SharedLive>, shutdown: ShutdownSignal) -> io::Result<()> {
    note(&figures, &live.get());
    supervised::start("history", STACK_BYTES, move || {
        while !shutdown.wait(INTERVAL) {
            note(&figures, &live.get());
        }
    })
}

fn note(figures: &Figures, live: &Live) {
    let now = Now {
        at: Instant::now(),
        active_requests: figures.in_flight.handled(),
        queued_requests: (figures.queued)() as u64,
        client_connections: (figures.client_connections)(),
    };
    figures.history.note(&figures.metrics, live, now);
}
