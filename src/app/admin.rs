//! The admin listener's threads: two, so that one slow caller does not block the others, and outside the
//! worker pool, so that a busy balancer can still be asked.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::config::AdminConfig;
use crate::endpoints::{Admin, Figures};
use crate::frontend::{ClientRequest, Dispatch};
use crate::logging::writer::LineSender;
use crate::middleware::{AccessLog, Middleware, Next, Recover};
use crate::pool::{Live, SharedLive};
use crate::proxy::Proxy;
use crate::reload::Reloader;
use crate::supervised;

/// See the module.
const THREADS: usize = 2;
/// Limit of waiting requests; a further one's connection is closed.
const MAX_WAITING: usize = 64;
/// A reload reads a configuration and looks names up, which needs this much stack.
const STACK_BYTES: usize = 1 << 20;

/// Starts the threads; `None` if no admin listener is configured.
pub(super) fn start(
    config: Option<AdminConfig>,
    live: &Arc<SharedLive>,
    figures: Arc<Figures>,
    reloader: Arc<Reloader>,
    access_lines: LineSender,
) -> io::Result<Option<Arc<dyn Dispatch>>> {
    let Some(AdminConfig { token, .. }) = config else { return Ok(None) };
    let (requests, waiting) = bounded::<ClientRequest>(MAX_WAITING);
    let admin = Arc::new(Admin { figures, reloader, token });
    let links: Arc<[Arc<dyn Middleware>]> =
        Arc::from([Arc::new(AccessLog(access_lines)) as Arc<dyn Middleware>, Arc::new(Recover)]);
    for _ in 0..THREADS {
        let (waiting, admin, links, live) =
            (waiting.clone(), Arc::clone(&admin), Arc::clone(&links), Arc::clone(live));
        let work = move || answer(&waiting, &admin, &links, &live);
        supervised::start("admin", STACK_BYTES, work)?;
    }
    Ok(Some(Arc::new(Waiting(requests))))
}

/// The queue of requests for these threads.
struct Waiting(Sender<ClientRequest>);

impl Dispatch for Waiting {
    fn take(&self, request: ClientRequest) {
        // If the queue is full, dropping the request closes its connection.
        let _ = self.0.try_send(request);
    }
}

fn answer(
    waiting: &Receiver<ClientRequest>,
    admin: &Admin,
    links: &[Arc<dyn Middleware>],
    live: &SharedLive,
) {
    for mut request in waiting {
        let live = live.get();
        Proxy::identify(&mut request, &live);
        let handler = |request: &mut ClientRequest, live: &Live| admin.handle(request, live);
        Next::new(links, &handler).run(&mut request, &live);
    }
}
