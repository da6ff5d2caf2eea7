//! The thread that looks backend names up: at the start, and again every `timeouts.resolve`, never on
//! a request's path. A name that can't be looked up keeps the addresses it had; one that never could
//! has none, and its probes fail.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use log::Level::{Info, Warn};

use crate::logging::event;
use crate::pool::{Backend, Live, SharedLive};
use crate::shutdown::Running;
use crate::transport::look_up;

/// How long the start waits for the first look-up; a slow resolver must not hold it up.
const FIRST_ROUND: Duration = Duration::from_secs(1);

/// Starts the thread and waits a moment for its first round.
///
/// # Errors
/// The operating system's, for the thread.
pub fn start(live: Arc<SharedLive>, running: Running) -> io::Result<thread::JoinHandle<()>> {
    let (first_round, done) = bounded(1);
    let work = move || {
        look_up_all(&live.get());
        drop(first_round);
        while !running.wait(live.get().config.timeouts.resolve) {
            look_up_all(&live.get());
        }
    };
    let thread = thread::Builder::new().name("names".into()).spawn(work)?;
    let _: Result<(), _> = done.recv_timeout(FIRST_ROUND);
    Ok(thread)
}

/// All at once, so that one dead name server does not delay the others' names.
fn look_up_all(live: &Live) {
    thread::scope(|scope| {
        for backend in live.pool.backends() {
            let look = || look_up_one(backend);
            // Where no thread can be had, it is done here.
            if thread::Builder::new().name("look-up".into()).spawn_scoped(scope, look).is_err() {
                look_up_one(backend);
            }
        }
    });
}

fn look_up_one(backend: &Backend) {
    let book = backend.address_book();
    match look_up(&backend.config().url) {
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
