//! The thread that looks backend names up: at the start, and again every `timeouts.resolve`, never on
//! a request's path. A name that can't be looked up keeps the addresses it had; one that never could
//! has none, and its probes fail.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use log::Level::{Info, Warn};

use crate::config::BackendUrl;
use crate::logging::event;
use crate::pool::{Backend, Live, SharedLive};
use crate::shutdown::Running;
use crate::supervised;
use crate::transport::look_up;

/// A look-up goes through the system's libraries.
const STACK_BYTES: usize = 512 << 10;
/// How long the start waits for the first look-up; a slow resolver must not hold it up.
const FIRST_ROUND: Duration = Duration::from_secs(1);

/// A reload may have made the interval shorter, and is noticed within this time.
const GLANCE: Duration = Duration::from_secs(1);

/// Names that are looked up at once.
const MOST_AT_ONCE: usize = 16;

/// Starts the thread and waits a moment for its first round.
///
/// # Errors
/// The operating system's, for the thread.
pub fn start(live: Arc<SharedLive>, running: Running) -> io::Result<()> {
    let (first_round, done) = bounded(1);
    let work = move || {
        look_up_all(&live.get());
        drop(first_round);
        let mut last = Instant::now();
        while !running.wait(until_due(&live.get(), last).min(GLANCE)) {
            if until_due(&live.get(), last).is_zero() {
                look_up_all(&live.get());
                last = Instant::now();
            }
        }
    };
    supervised::start("names", STACK_BYTES, work)?;
    let _: Result<(), _> = done.recv_timeout(FIRST_ROUND);
    Ok(())
}

fn until_due(live: &Live, last: Instant) -> Duration {
    live.config.timeouts.resolve.saturating_sub(last.elapsed())
}

/// Looks the names of these up, which a reload brings, before they serve.
pub fn look_up_new<'a>(backends: impl Iterator<Item = &'a Arc<Backend>>) {
    look_up_these(backends);
}

fn look_up_all(live: &Live) {
    look_up_these(live.backends());
}

/// Many at once, so that one dead name server does not delay the others' names; literal addresses take
/// no time.
fn look_up_these<'a>(backends: impl Iterator<Item = &'a Arc<Backend>>) {
    let (literal, names): (Vec<_>, Vec<_>) = backends.partition(|backend| is_literal(backend.url()));
    literal.into_iter().for_each(|backend| look_up_one(backend));
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(backend) = names.get(next.fetch_add(1, Relaxed)) {
            look_up_one(backend);
        }
    };
    thread::scope(|scope| {
        for _ in 1..names.len().min(MOST_AT_ONCE) {
            // Where no thread can be had, the others do its work.
            let _ = thread::Builder::new().name("look-up".into()).spawn_scoped(scope, work);
        }
        work();
    });
}

fn is_literal(url: &BackendUrl) -> bool {
    match url {
        BackendUrl::Http { host, .. } | BackendUrl::Https { host, .. } => host.parse::<IpAddr>().is_ok(),
        BackendUrl::Unix { .. } => true,
    }
}

fn look_up_one(backend: &Backend) {
    let book = backend.address_book();
    match look_up(backend.url()) {
        Ok(addresses) => {
            let known_before = !book.get().is_empty();
            if book.set(&addresses) && known_before {
                event(
                    Info,
                    "names",
                    "addresses changed",
                    &[("backend", &backend.name()), ("count", &addresses.len())],
                );
            }
        }
        Err(error) => {
            event(Warn, "names", "name not resolved", &[("backend", &backend.name()), ("error", &error)])
        }
    }
}
