//! Builds every part, starts every thread, and stops them in order. [`App::start`] is the list of all
//! that runs; [`App::wait`] is the drain.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, select, tick};
use log::Level::{Info, Warn};

use crate::config::Config;
use crate::endpoints::{Endpoints, Figures};
use crate::frontend::{ClientRequest, Frontend, GuardSettings, Sink};
use crate::logging::event;
use crate::logging::writer::LineSender;
use crate::metrics::Metrics;
use crate::middleware::{AccessLog, CountRequests, Next, RateLimiter, chain};
use crate::pool::{Backend, Live, Pool, SharedLive};
use crate::proxy::{Outcome, Proxy, Refusal};
use crate::shutdown::{Ender, Request, Running, running};
use crate::transport::UreqTransport;
use crate::workers::{self, InFlight, Job, PoolLimits, Queue};
use crate::{balance, descriptors, health_checker, names};

/// How often a drain says what is still in flight.
const DRAIN_REPORT: Duration = Duration::from_secs(1);
/// How many of the requests in flight it names.
const DRAIN_NAMES: usize = 3;

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
    _ender: Ender,
}

impl App {
    /// Starts everything; requests are served when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left half-started that would serve requests.
    pub fn start(mut config: Config, access_lines: LineSender) -> Result<App, StartError> {
        let started = Instant::now();
        descriptors::fit(&mut config);
        let listener =
            TcpListener::bind(config.listen).map_err(|error| StartError::Listen(config.listen, error))?;
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
            client_connections: late_figure(&late, Late::connections),
            leaked_connections: late_figure(&late, Late::leaked),
            streams: late_figure(&late, Late::streams),
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
        let frontend = Arc::new(Frontend::start(listener, guard_settings(&live), sink, running.clone())?);
        let _ = late.frontend.set(Arc::clone(&frontend));
        announce(&frontend, &live);
        Ok(App { frontend, live, in_flight, draining, running, _ender: ender })
    }

    /// Where it listens; the real port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.frontend.address()
    }

    /// Serves until a signal asks for the end, then drains. Returns when all is answered or the time
    /// for it is up.
    pub fn wait(self, requests: &Receiver<Request>) {
        let signal = loop {
            match requests.recv() {
                Ok(Request::Drain(signal)) => break signal,
                Ok(Request::Reload) => {
                    event(
                        Warn,
                        "app",
                        "reload is not supported yet, restart to take a new configuration",
                        &[],
                    );
                }
                Err(_) => break "no signals left",
            }
        };
        self.drain(signal, requests);
    }

    fn drain(&self, signal: &str, requests: &Receiver<Request>) {
        let live = self.live.get();
        let limit = live.config.timeouts.drain;
        let active = self.in_flight.active();
        event(
            Info,
            "app",
            "draining",
            &[("signal", &signal), ("in_flight", &active), ("timeout_s", &limit.as_secs_f64())],
        );
        self.draining.store(true, Relaxed);
        self.wait_before_drain(live.config.timeouts.pre_drain);
        self.frontend.drain();
        self.wait_for_answers(limit, requests);
        let (accepted, answered) = (self.in_flight.accepted(), self.in_flight.answered());
        let cut = accepted.saturating_sub(answered);
        event(Info, "app", "stopped", &[("accepted", &accepted), ("answered", &answered), ("cut", &cut)]);
    }

    /// `/lb-health` says 503 from now on; whoever sends the clients has time to see it.
    fn wait_before_drain(&self, time: Duration) {
        if !time.is_zero() {
            self.running.wait(time);
        }
    }

    fn wait_for_answers(&self, limit: Duration, requests: &Receiver<Request>) {
        let (deadline, report) = (after(limit), tick(DRAIN_REPORT));
        while self.in_flight.active() > 0 {
            select! {
                recv(self.in_flight.ended()) -> _ => {}
                recv(report) -> _ => self.report_drain(),
                recv(deadline) -> _ => return self.report_drain(),
                // Further signals change nothing (a second Ctrl-C has ended the process already).
                recv(requests) -> _ => {}
            }
        }
    }

    fn report_drain(&self) {
        let active = self.in_flight.active();
        let oldest = self.in_flight.oldest(DRAIN_NAMES).join(", ");
        event(Info, "app", "still in flight", &[("in_flight", &active), ("oldest", &oldest)]);
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

/// Parts that the metrics page tells of and that exist only after it.
#[derive(Default)]
struct Late {
    frontend: OnceLock<Arc<Frontend>>,
    streams: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
}

impl Late {
    fn connections(&self) -> u64 {
        self.frontend.get().map_or(0, |frontend| frontend.counts().client_connections)
    }

    fn leaked(&self) -> u64 {
        self.frontend.get().map_or(0, |frontend| frontend.counts().leaked_connections)
    }

    fn streams(&self) -> u64 {
        self.streams.get().map_or(0, |streams| streams() as u64)
    }
}

fn late_figure(late: &Arc<Late>, figure: fn(&Late) -> u64) -> Box<dyn Fn() -> u64 + Send + Sync> {
    let late = Arc::clone(late);
    Box::new(move || figure(&late))
}
