//! Builds every part and starts every thread: [`App::start`] is the list of all that runs. `ending` has
//! the way out, [`App::wait`].

mod ending;
mod late;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use log::Level::Info;

use crate::config::Config;
use crate::endpoints::{Endpoints, Figures};
use crate::frontend::{ClientRequest, Frontend, GuardSettings, Sink};
use crate::logging::event;
use crate::logging::writer::LineSender;
use crate::metrics::Metrics;
use crate::middleware::{AccessLog, CountRequests, Next, RateLimiter, chain};
use crate::pool::{Backend, Live, Pool, SharedLive};
use crate::proxy::{Outcome, Proxy, Refusal};
use crate::renewal::{self, Origin, Predecessor};
use crate::shutdown::{Ender, Running, running};
use crate::transport::UreqTransport;
use crate::workers::{self, InFlight, Job, PoolLimits, Queue};
use crate::{balance, descriptors, health_checker, names};
use late::{Late, figure};

/// Why the balancer could not start.
#[derive(Debug)]
pub enum StartError {
    /// The address is taken, or not ours.
    Listen(SocketAddr, io::Error),
    /// The operating system refused a thread or a socket.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            StartError::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::System(error)
    }
}

/// A running balancer.
pub struct App {
    frontend: Arc<Frontend>,
    live: Arc<SharedLive>,
    in_flight: Arc<InFlight>,
    draining: Arc<AtomicBool>,
    running: Running,
    origin: Option<Origin>,
    _ender: Ender,
}

impl App {
    /// Starts everything; requests are served when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left half-started that would serve requests.
    pub fn start(mut config: Config, source: Source, access_lines: LineSender) -> Result<App, StartError> {
        let started = Instant::now();
        descriptors::fit(&mut config);
        let origin = Origin::of_this_process().ok().filter(|_| source != Source::Embedded);
        let (predecessor, listener) = listening_socket(source, config.listen)?;
        let (ender, running) = running();
        let (workers, max_queue) = (config.workers, config.limits.max_queue);
        let live = Arc::new(SharedLive::new(build(config)));
        let metrics = Arc::new(Metrics::default());
        let in_flight = Arc::new(InFlight::default());
        let draining = Arc::new(AtomicBool::new(false));
        let late = Arc::new(Late::default());

        names::start(Arc::clone(&live), running.clone())?;
        health_checker::start(Arc::clone(&live), running.clone())?;

        let queue = Queue::new(max_queue);
        let figures = Figures {
            started,
            metrics: Arc::clone(&metrics),
            in_flight: Arc::clone(&in_flight),
            queued: Box::new(queue.length()),
            client_connections: figure(&late, Late::connections),
            leaked_connections: figure(&late, Late::leaked),
            streams: figure(&late, Late::streams),
            draining: {
                let draining = Arc::clone(&draining);
                Box::new(move || draining.load(Relaxed))
            },
        };
        let handler = handler(&live, access_lines, metrics, figures, running.clone());
        let limits = pool_limits(&live);
        let (dispatcher, streams) =
            workers::start(workers, queue, Arc::clone(&in_flight), limits, handler, running.clone())?;
        let _ = late.streams.set(Box::new(streams));

        let sink: Sink = Arc::new(move |request| dispatcher.dispatch(request));
        if let Some(predecessor) = &predecessor {
            predecessor.ready()?;
        }
        let frontend = Arc::new(Frontend::start(listener, guard_settings(&live), sink, running.clone())?);
        let _ = late.frontend.set(Arc::clone(&frontend));
        announce(&frontend, &live);
        if let Some(predecessor) = &predecessor {
            predecessor.serving();
        }
        Ok(App { frontend, live, in_flight, draining, running, origin, _ender: ender })
    }

    /// Where it listens; the real port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.frontend.address()
    }
}

/// Where the listening socket comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From the configuration's address, or from a service manager that has opened one.
    Fresh,
    /// From the process that this one takes over from.
    Renewal,
    /// From the configuration's address, in a program that can't be started again by itself.
    Embedded,
}

/// An inherited socket serves only if it is the one that is configured: the address may have changed.
fn listening_socket(
    source: Source,
    wanted: SocketAddr,
) -> Result<(Option<Predecessor>, TcpListener), StartError> {
    let (predecessor, inherited) = match Predecessor::of_this_process(source == Source::Renewal)? {
        Some((predecessor, listener)) => (Some(predecessor), Some(listener)),
        None => (None, renewal::activated_socket()?),
    };
    match inherited {
        Some(listener) if renewal::is_wanted(&listener, wanted) => Ok((predecessor, listener)),
        _ => {
            let listener = TcpListener::bind(wanted).map_err(|error| StartError::Listen(wanted, error))?;
            Ok((predecessor, listener))
        }
    }
}

fn build(config: Config) -> Live {
    let backends = config.default_pool.backends.iter().map(|backend| Arc::new(Backend::new(backend.clone())));
    let pool = Pool::new(backends.collect(), balance::balancer(config.default_pool.algorithm));
    Live { config, pool }
}

/// What each worker does with each request.
fn handler(
    live: &Arc<SharedLive>,
    access_lines: LineSender,
    metrics: Arc<Metrics>,
    figures: Figures,
    running: Running,
) -> workers::Handler {
    let live = Arc::clone(live);
    let proxy = Proxy::new(Arc::new(UreqTransport::default()), running);
    let endpoints = Arc::new(Endpoints(Arc::new(figures)));
    let links = chain(AccessLog(access_lines), CountRequests(metrics), endpoints, RateLimiter::default());
    Arc::new(move |mut job: Job| {
        let live = live.get();
        Proxy::identify(&mut job.request, &live);
        if job.request.watch.is_client_gone() {
            let gone = |_: &mut ClientRequest, _: &Live| Outcome::client_gone();
            Next::new(&links[..REFUSED_LINKS], &gone).run(&mut job.request, &live);
            return;
        }
        let refusal = job.refusal.or_else(|| too_long_a_head(&job.request, &live));
        if let Some(refusal) = refusal.or_else(|| job.request.flaw().map(Refusal::Flawed)) {
            Next::new(&links[..REFUSED_LINKS], &|request, _| Outcome::refused(request, refusal))
                .run(&mut job.request, &live);
        } else {
            Next::new(&links, &|request, live| proxy.handle(request, live)).run(&mut job.request, &live);
        }
    })
}

/// A head that was complete before the guard could stop it.
fn too_long_a_head(request: &ClientRequest, live: &Live) -> Option<Refusal> {
    let bytes = request.head.method.len() + request.head.target.len() + request.head.headers.byte_len();
    (bytes > live.config.limits.max_header_bytes).then_some(Refusal::HeadTooLarge)
}

/// Links that a request passes that is refused in any case: the log, the count and the net.
const REFUSED_LINKS: usize = 3;

fn pool_limits(live: &Arc<SharedLive>) -> PoolLimits {
    let (one, two) = (Arc::clone(live), Arc::clone(live));
    PoolLimits {
        queue_timeout: Box::new(move || one.get().config.timeouts.queue),
        max_streams: Box::new(move || two.get().config.limits.max_streams),
    }
}

fn guard_settings(live: &Arc<SharedLive>) -> impl Fn() -> GuardSettings + Send + 'static {
    let live = Arc::clone(live);
    move || {
        let live = live.get();
        let (timeouts, limits) = (&live.config.timeouts, &live.config.limits);
        GuardSettings {
            client_header: timeouts.client_header,
            client_idle: timeouts.client_idle,
            client_body: timeouts.client_body,
            client_write: timeouts.client_write,
            max_header_bytes: limits.max_header_bytes as u64,
            max_connections: limits.max_connections,
            max_connections_per_ip: limits.max_connections_per_ip,
        }
    }
}

fn announce(frontend: &Frontend, live: &SharedLive) {
    let live = live.get();
    let (backends, algorithm) = (live.pool.backends().len(), live.config.default_pool.algorithm);
    let fields: [(&str, &dyn fmt::Display); 4] = [
        ("address", &frontend.address()),
        ("algorithm", &algorithm),
        ("backends", &backends),
        ("workers", &live.config.workers),
    ];
    event(Info, "app", "listening", &fields);
}
