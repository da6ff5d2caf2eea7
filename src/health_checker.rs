//! The thread that health-checks backends: starts the probes that are due, records results, and logs changes
//! of health.
//!
//! Each probe runs in its own thread and reports over a channel, so a probe that hangs delays no other. A
//! backend has at most one probe at a time. Between probes, the thread closes connections to backends that
//! have been idle for too long.

mod probe;

use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::Level::{Debug, Info, Warn};

use crate::config::{HealthCheckConfig, HealthCheckKind};
use crate::logging::event;
use crate::pool::health::{Flip, Thresholds};
use crate::pool::{Backend, Live, Problem, ProblemKind, SharedLive};
use crate::shutdown::ShutdownSignal;
use crate::supervised;
use crate::transport::Transport;
use probe::probe;

/// Intervals vary by this share, so that several balancers do not probe in step.
const JITTER: f64 = 0.1;
/// The stack of a probe's thread.
const PROBE_STACK_BYTES: usize = 256 << 10;
/// The stack of the health thread.
const STACK_BYTES: usize = 256 << 10;

/// How soon a reload is noticed.
const RELOAD_NOTICED: Duration = Duration::from_millis(500);

/// A backend that has never been healthy may be starting just like us, so it is probed this often ...
const EAGER_PAUSE: Duration = Duration::from_secs(1);
/// ... for this long.
const EAGER_TIME: Duration = Duration::from_secs(60);

/// When to probe a backend.
struct Schedule {
    since: Instant,
    due: Instant,
    under_way: bool,
    was_healthy: bool,
}

impl Schedule {
    /// The schedule of a backend that was never probed.
    fn new(now: Instant) -> Schedule {
        Schedule { since: now, due: now, under_way: false, was_healthy: false }
    }

    /// Records the end of a probe.
    fn note(&mut self, is_healthy: bool, now: Instant) {
        self.under_way = false;
        self.was_healthy |= is_healthy;
        if !self.was_healthy && now.saturating_duration_since(self.since) < EAGER_TIME {
            self.due = self.due.min(now + EAGER_PAUSE);
        }
    }
}

/// The result of a probe.
struct Report {
    backend: Arc<Backend>,
    thresholds: Thresholds,
    result: Result<(), Problem>,
}

/// Starts the thread; each backend's first probe runs at once.
///
/// # Errors
/// The operating system's, for the thread.
pub fn start(
    live: Arc<SharedLive>,
    transport: Arc<dyn Transport>,
    shutdown: ShutdownSignal,
) -> io::Result<()> {
    supervised::start("health", STACK_BYTES, move || run(&live, &*transport, &shutdown))
}

fn run(live: &SharedLive, transport: &dyn Transport, shutdown: &ShutdownSignal) {
    let (reports, inbox) = bounded(64);
    let mut schedules = HashMap::new();
    loop {
        let next_due = probe_due(&live.get(), &mut schedules, &reports);
        transport.tidy();
        if wait(&inbox, shutdown, next_due, &mut schedules) {
            return;
        }
    }
}

/// Starts the probes that are due; returns when to look again, for the next probe or a reload.
fn probe_due(live: &Live, schedules: &mut HashMap<u64, Schedule>, reports: &Sender<Report>) -> Instant {
    let now = Instant::now();
    let known: HashSet<u64> = live.backends().map(|backend| backend.id()).collect();
    schedules.retain(|id, _| known.contains(id));
    for pool in live.pools() {
        let check = &pool.config().health_check;
        for backend in pool.backends() {
            if check.kind == HealthCheckKind::None {
                schedules.remove(&backend.id());
                backend.is_probed_no_more(now);
                continue;
            }
            let schedule = schedules.entry(backend.id()).or_insert(Schedule::new(now));
            // A reload may have shortened the interval.
            schedule.due = schedule.due.min(now + check.interval.mul_f64(1.0 + JITTER));
            if schedule.due <= now && !schedule.under_way {
                schedule.under_way = start_probe(Arc::clone(backend), check.clone(), reports.clone());
                schedule.due = now + jittered(check.interval);
            }
        }
    }
    let idle = schedules.values().filter(|schedule| !schedule.under_way);
    let soon = now + RELOAD_NOTICED;
    idle.map(|schedule| schedule.due).min().map_or(soon, |due| due.min(soon))
}

/// Starts the probe's thread; `false` if that failed, so that the probe is tried again when it is next due.
fn start_probe(backend: Arc<Backend>, check: HealthCheckConfig, reports: Sender<Report>) -> bool {
    let thresholds = Thresholds { healthy: check.healthy_threshold, unhealthy: check.unhealthy_threshold };
    let work = move || {
        // Without a report the backend would never be probed again.
        let probed = catch_unwind(AssertUnwindSafe(|| probe(&backend, &check)));
        let result = probed.unwrap_or_else(|_| Err(Problem::new(ProblemKind::Other, "the probe panicked")));
        // Fails if the health thread has ended.
        let _ = reports.send(Report { backend, thresholds, result });
    };
    thread::Builder::new().name("probe".into()).stack_size(PROBE_STACK_BYTES).spawn(work).is_ok()
}

/// Waits for a report, the next probe or the shutdown; returns whether it was the shutdown.
fn wait(
    inbox: &Receiver<Report>,
    shutdown: &ShutdownSignal,
    next_due: Instant,
    schedules: &mut HashMap<u64, Schedule>,
) -> bool {
    select! {
        recv(inbox) -> report => if let Ok(report) = report {
            // Ignores reports on backends that have left the configuration.
            if let Some(schedule) = schedules.get_mut(&report.backend.id()) {
                observe(&report);
                schedule.note(report.backend.is_healthy(), Instant::now());
            }
        },
        recv(shutdown.channel()) -> _ => return true,
        default(next_due.saturating_duration_since(Instant::now())) => {}
    }
    false
}

fn observe(report: &Report) {
    let problem = report.result.as_ref().err();
    let (at, now) = (SystemTime::now(), Instant::now());
    let seen = report.backend.observe_probe(problem, &report.thresholds, at, now);
    let (name, reason) = (report.backend.name(), problem.map_or("", |problem| &problem.text));
    match seen.flip {
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
        None if seen.has_another_cause => {
            event(
                Warn,
                "health_checker",
                "backend is unhealthy for another reason",
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Probes that ended after so many seconds, and whether the backend was healthy then; `expected` is when
    /// the next is due.
    fn check(probes: &[(u64, bool)], expected: u64) {
        let start = Instant::now();
        let mut schedule = Schedule { due: start + HOUR, ..Schedule::new(start) };
        for (second, is_healthy) in probes {
            schedule.due = start + HOUR;
            schedule.note(*is_healthy, start + Duration::from_secs(*second));
        }
        assert_eq!(schedule.due - start, Duration::from_secs(expected), "{probes:?}");
    }

    #[test]
    fn a_backend_that_may_be_starting_is_asked_again_soon() {
        check(&[(0, true)], 3600);
        check(&[(0, false)], 1);
        check(&[(0, false), (1, false), (2, false)], 3);
        check(&[(0, false), (1, true), (2, false)], 3600);
        check(&[(0, false), (60, false)], 3600);
    }
}
