//! Builds all parts and starts all threads: [`App::start`] lists everything that runs. The end,
//! [`App::wait`], is in `ending`.

mod admin;
mod admin_overrides;
mod ending;
mod heirs;
mod lazy_gauges;
mod listeners;
mod pid_file;
mod source;
mod start_error;
mod watchdog;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use log::Level::Info;

use crate::config::{Config, ListenAddress};
use crate::endpoints::{Endpoints, Figures, is_own, keep_history};
use crate::explain::Explanations;
use crate::frontend::{ClientRequest, Dispatch};
use crate::logging::writer::LineSender;
use crate::logging::{Logs, event};
use crate::metrics::Metrics;
use crate::metrics::history::History;
use crate::middleware::{AccessLog, AskService, CountRequests, Explain, Next, RateLimiter, chain, lay_down};
use crate::names::members::Members;
use crate::pool::{Live, SharedLive};
use crate::proxy::{Outcome, Proxy, Refusal};
use crate::reload::{self, ConfigFile, Reloader};
use crate::renewal::Succession;
use crate::service_manager::ServiceManager;
use crate::shutdown::{ShutdownSignal, ShutdownTrigger, shutdown_pair};
use crate::traffic::Traffic;
use crate::transport::{HttpTransport, Transport};
use crate::workers::{self, InFlight, Job, PoolLimits, Queue};
use crate::{descriptors, health_checker, names, tls};
pub use heirs::Heirs;
use lazy_gauges::{LazyGauges, Listeners, figure};
use pid_file::PidFile;
pub use source::Source;
pub use start_error::StartError;

/// A running balancer.
pub struct App {
    listeners: Listeners,
    live: Arc<SharedLive>,
    in_flight: Arc<InFlight>,
    draining: Arc<AtomicBool>,
    reloader: Arc<Reloader>,
    shutdown: ShutdownSignal,
    succession: Succession,
    manager: Arc<ServiceManager>,
    logs: Arc<Logs>,
    /// Whether a service manager holds the sockets, too, and keeps them open when this process ends.
    sockets_stay: bool,
    pid_file: Option<PidFile>,
    /// Whether the service manager's watchdog expects signs of life from this process.
    is_watched: Arc<AtomicBool>,
    _trigger: ShutdownTrigger,
}

impl App {
    /// Starts everything; requests are served once this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left half-started that would serve requests.
    pub fn start(
        mut config: Config,
        (file, pid_file): (Option<ConfigFile>, Option<PathBuf>),
        (source, succession): (Source, Succession),
        manager: Arc<ServiceManager>,
        logs: Arc<Logs>,
    ) -> Result<App, StartError> {
        let started = Instant::now();
        let opened = logs.open(&config).map_err(|problem| StartError::Files(vec![problem]))?;
        logs.switch_to(opened);
        let access_lines = logs.access();
        let certificates = tls::files::read(&config).map_err(StartError::Files)?;
        descriptors::fit(&mut config);
        let is_embedded = matches!(source, Source::Embedded);
        if !is_embedded {
            tell_where_from(file.as_ref());
        }
        let (predecessor, sockets) = listeners::open(source, &config)?;
        let sockets_stay = sockets.stay;
        let (trigger, shutdown) = shutdown_pair();
        let (workers, admin) = (config.workers, config.admin.clone());
        let members = Arc::new(Members::default());
        let live = Arc::new(SharedLive::new(reload::build_with(config, None, Some(&members))));
        let metrics = Arc::new(Metrics::default());
        let traffic = Arc::new(Traffic::default());
        let in_flight = Arc::new(InFlight::default());
        let draining = Arc::new(AtomicBool::new(false));
        let lazy_gauges = Arc::new(LazyGauges::default());
        let transport: Arc<dyn Transport> = Arc::new(HttpTransport::default());
        let reloader = Arc::new(Reloader::new(
            file,
            Arc::clone(&live),
            Arc::clone(&transport),
            Arc::clone(&manager),
            Arc::clone(&logs),
            Arc::clone(&members),
        ));

        let rebuild = {
            let reloader = Arc::clone(&reloader);
            move || reloader.rebuild()
        };
        names::start(Arc::clone(&live), Arc::clone(&members), rebuild, shutdown.clone())?;
        // By now most names are resolved, so that overrides of their addresses can be applied, too.
        if let Some(told) = &sockets.by_hand {
            admin_overrides::take_over(&live.get(), told);
        }
        health_checker::start(Arc::clone(&live), Arc::clone(&transport), shutdown.clone())?;
        reload::watch(Arc::clone(&reloader), shutdown.clone())?;

        let queue = Queue::default();
        let figures = Arc::new(Figures {
            started: (started, SystemTime::now()),
            metrics: Arc::clone(&metrics),
            history: History::default(),
            traffic: Arc::clone(&traffic),
            // Only the admin listener shows them.
            explanations: admin.as_ref().map(|_| Arc::new(Explanations::default())),
            in_flight: Arc::clone(&in_flight),
            queued: {
                let queue = queue.clone();
                Box::new(move || queue.length())
            },
            client_connections: figure(&lazy_gauges, LazyGauges::connections),
            streams: figure(&lazy_gauges, LazyGauges::streams),
            busy_workers: figure(&lazy_gauges, LazyGauges::busy_workers),
            reload: {
                let reloader = Arc::clone(&reloader);
                Box::new(move || reloader.last())
            },
            certificates: {
                let reloader = Arc::clone(&reloader);
                Box::new(move || reloader.certificates())
            },
            names: {
                let (members, live) = (Arc::clone(&members), Arc::clone(&live));
                Box::new(move || members.lives(&live.get().config))
            },
            draining: {
                let draining = Arc::clone(&draining);
                Box::new(move || draining.load(Relaxed))
            },
        });
        keep_history(Arc::clone(&figures), Arc::clone(&live), shutdown.clone())?;
        let ask_service = AskService(Arc::clone(&transport));
        let proxy = Proxy::new(transport, shutdown.clone());
        let refused = {
            let metrics = Arc::clone(&metrics);
            move |tally| metrics.record(tally)
        };
        let handler =
            handler(&live, access_lines.clone(), metrics, Arc::clone(&figures), (proxy, ask_service));
        let limits = pool_limits(&live);
        let (dispatcher, occupancy) = workers::start(
            workers,
            queue,
            Arc::clone(&in_flight),
            limits,
            handler,
            refused,
            shutdown.clone(),
        )?;
        let _ = lazy_gauges.workers.set(occupancy);

        let admin_dispatch = admin::start(admin, &live, figures, Arc::clone(&reloader), access_lines)?;
        if let Some(predecessor) = &predecessor {
            predecessor.ready()?;
        }
        let dispatches = (dispatcher as Arc<dyn Dispatch>, admin_dispatch);
        let listeners = listeners::serve(sockets, certificates, &reloader, &live, dispatches, &traffic)?;
        let _ = lazy_gauges.listeners.set(listeners.clone());
        // Written only once this process serves, and only by the process that was started first.
        let pid_file = pid_file
            .filter(|_| predecessor.is_none())
            .map(|path| PidFile::write(path.clone()).map_err(|error| StartError::PidFile(path, error)));
        let pid_file = pid_file.transpose()?;
        announce(&listeners, &live);
        if let Some(predecessor) = &predecessor {
            predecessor.serving();
        }
        let backends = live.get().backends().count();
        manager.serving(&format!("serving on {}, backends: {backends}", listeners[0].address()));
        Ok(App {
            listeners,
            live,
            in_flight,
            draining,
            reloader,
            shutdown,
            succession,
            manager,
            logs,
            sockets_stay,
            pid_file,
            is_watched: Arc::new(AtomicBool::new(true)),
            _trigger: trigger,
        })
    }

    /// The first listening address; with the actual port if port 0 was configured.
    pub fn address(&self) -> &ListenAddress {
        self.listeners[0].address()
    }
}

/// Handles each request on a worker.
fn handler(
    live: &Arc<SharedLive>,
    access_lines: LineSender,
    metrics: Arc<Metrics>,
    figures: Arc<Figures>,
    (proxy, ask_service): (Proxy, AskService),
) -> workers::Handler {
    let live = Arc::clone(live);
    let explain = Explain(figures.explanations.clone());
    let endpoints = Arc::new(Endpoints(figures));
    let links = chain(
        explain,
        AccessLog(access_lines),
        CountRequests(metrics),
        endpoints,
        RateLimiter::default(),
        ask_service,
    );
    Arc::new(move |mut job: Job| {
        let live = live.get();
        Proxy::identify(&mut job.request, &live);
        if job.request.watch.is_client_gone() {
            let gone = |_: &mut ClientRequest, _: &Live| Outcome::client_gone();
            Next::new(&links[..REFUSED_LINKS], &gone).run(&mut job.request, &live);
            return;
        }
        // A request that found no room is refused as its route says; the other ones below have none.
        if job.refusal.is_some() && !is_own(job.request.head.path()) && job.request.flaw().is_none() {
            let _ = lay_down(&mut job.request, &live);
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

/// Refuses a head over `max_header_bytes` that the listener has let through.
fn too_long_a_head(request: &ClientRequest, live: &Live) -> Option<Refusal> {
    let bytes = request.head.method.len() + request.head.target.len() + request.head.headers.byte_len();
    (bytes > live.config.limits.max_header_bytes).then_some(Refusal::HeadTooLarge)
}

/// Links for a request that is refused in any case: explain, access log, counting and recover.
const REFUSED_LINKS: usize = 4;

fn pool_limits(live: &Arc<SharedLive>) -> PoolLimits {
    let [one, two, three] = std::array::from_fn(|_| Arc::clone(live));
    PoolLimits {
        max_queue: Box::new(move || one.get().config.limits.max_queue),
        queue_timeout: Box::new(move || two.get().config.timeouts.queue),
        max_streams: Box::new(move || three.get().config.limits.max_streams),
    }
}

/// Logs the configuration file, for operators who named none or another one than they think.
fn tell_where_from(file: Option<&ConfigFile>) {
    match file {
        Some(file) => {
            let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
            event(Info, "app", "configuration read", &[("file", &path.display())]);
        }
        None => event(Info, "app", "no configuration file is named, built-in defaults hold", &[]),
    }
}

fn announce(listeners: &Listeners, live: &SharedLive) {
    let live = live.get();
    let (backends, algorithm) = (live.backends().count(), live.config.default_pool.algorithm);
    let fields: [(&str, &dyn fmt::Display); 4] = [
        ("address", &listeners[0].address()),
        ("algorithm", &algorithm),
        ("backends", &backends),
        ("workers", &live.config.workers),
    ];
    event(Info, "app", "listening", &fields);
    let plain = live.config.listen.iter().skip(1).map(|_| "plain");
    let tls = live.config.tls.iter().flat_map(|tls| &tls.listen).map(|_| "tls");
    let others = plain.chain(tls).chain(live.config.admin.iter().map(|_| "admin"));
    for (listener, kind) in listeners.iter().skip(1).zip(others) {
        event(Info, "app", "listening as well", &[("as", &kind), ("at", &listener.address())]);
    }
}
