//! The dedicated thread that probes backends: who is due? probe, observe, log the flip.
//!
//! A probe runs in a thread of its own and reports over a channel, so one that hangs delays no other
//! verdict. There is at most one probe a backend at a time.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::Level::{Debug, Info, Warn};

use crate::config::HealthCheckConfig;
use crate::logging::event;
use crate::pool::health::{Flip, Thresholds};
use crate::pool::{Backend, SharedLive};
use crate::shutdown::Running;
use crate::transport::probe;

/// Probes are spread by this share of the interval, so that many balancers do not beat in time.
const JITTER: f64 = 0.1;
/// The stack of a probe's thread.
const PROBE_STACK_BYTES: usize = 256 << 10;

/// When a backend is probed.
struct Schedule {
    due: Instant,
    under_way: bool,
}

/// A probe that has ended.
struct Report {
    backend: Arc<Backend>,
    result: Result<(), String>,
}

/// Starts the thread; each backend's first probe runs at once.
///
/// # Errors
/// The operating system's, for the thread.
pub fn start(live: Arc<SharedLive>, running: Running) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("health".into()).spawn(move || run(&live, &running))
}

fn run(live: &SharedLive, running: &Running) {
    let (reports, inbox) = bounded(64);
    let mut schedules = HashMap::new();
    loop {
        let current = live.get();
        let check = &current.config.default_pool.health_check;
        let next_due = probe_due(current.pool.backends(), check, &mut schedules, &reports);
        if wait(&inbox, running, next_due, check, &mut schedules) {
            return;
        }
    }
}

/// Starts the probes that are due; says when the next one will be.
fn probe_due(
    backends: &[Arc<Backend>],
    check: &HealthCheckConfig,
    schedules: &mut HashMap<u64, Schedule>,
    reports: &Sender<Report>,
) -> Instant {
    let now = Instant::now();
    schedules.retain(|id, _| backends.iter().any(|backend| backend.id() == *id));
    for backend in backends {
        let schedule = schedules.entry(backend.id()).or_insert(Schedule { due: now, under_way: false });
        if schedule.due <= now && !schedule.under_way {
            schedule.under_way = start_probe(Arc::clone(backend), check.clone(), reports.clone());
            schedule.due = now + jittered(check.interval);
        }
    }
    let idle = schedules.values().filter(|schedule| !schedule.under_way);
    idle.map(|schedule| schedule.due).min().unwrap_or(now + check.interval)
}

/// Whether the thread could be started; if not, the probe is tried again when it is due again.
fn start_probe(backend: Arc<Backend>, check: HealthCheckConfig, reports: Sender<Report>) -> bool {
    let work = move || {
        let result = probe_once(&backend, &check);
        // Nobody waits for it once the health thread has ended.
        let _ = reports.send(Report { backend, result });
    };
    thread::Builder::new().name("probe".into()).stack_size(PROBE_STACK_BYTES).spawn(work).is_ok()
}

fn probe_once(backend: &Backend, check: &HealthCheckConfig) -> Result<(), String> {
    match probe::status(backend, &check.path, check.timeout) {
        Ok(status) if check.expect_status.contain(status) => Ok(()),
        Ok(status) => Err(format!("status {status}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Waits for a report, the next probe or the end; says whether it was the end.
fn wait(
    inbox: &Receiver<Report>,
    running: &Running,
    next_due: Instant,
    check: &HealthCheckConfig,
    schedules: &mut HashMap<u64, Schedule>,
) -> bool {
    select! {
        recv(inbox) -> report => if let Ok(report) = report {
            if let Some(schedule) = schedules.get_mut(&report.backend.id()) {
                schedule.under_way = false;
            }
            observe(&report, check);
        },
        recv(running.channel()) -> _ => return true,
        default(next_due.saturating_duration_since(Instant::now())) => {}
    }
    false
}

fn observe(report: &Report, check: &HealthCheckConfig) {
    let thresholds = Thresholds { healthy: check.healthy_threshold, unhealthy: check.unhealthy_threshold };
    let flip = report.backend.observe_probe(report.result.is_ok(), &thresholds, SystemTime::now());
    let name = report.backend.name();
    let reason = report.result.as_ref().err().map_or("", String::as_str);
    match flip {
        Some(Flip::ToHealthy) => {
            event(Info, "health_checker", "backend marked HEALTHY", &[("backend", &name)])
        }
        Some(Flip::ToUnhealthy) => {
            event(
                Warn,
                "health_checker",
                "backend marked UNHEALTHY",
                &[("backend", &name), ("reason", &reason)],
            );
        }
        None if report.result.is_err() => {
            event(Debug, "health_checker", "probe failed", &[("backend", &name), ("reason", &reason)]);
        }
        None => event(Debug, "health_checker", "probe passed", &[("backend", &name)]),
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 + JITTER * (fastrand::f64() - 0.5))
}
