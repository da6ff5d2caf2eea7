//! `loadbalancer check` beyond mistakes: a valid configuration may have unintended consequences
//! ([`warnings`]), and its backends may not match it ([`probe()`]).

pub mod certificates;
mod deadline_stream;
mod listener;
mod probe;
mod report;
mod routing;
mod subject;
pub mod warnings;

use std::thread;
use std::time::Duration;

use crate::config::{Config, HealthCheckKind, PoolConfig};
use probe::{Findings, probe_one};
use subject::{Subject, subjects};

/// Limit for watching an idle connection, whatever `timeouts.backend_idle` is.
const MAX_WATCH: Duration = Duration::from_secs(15);
/// How much longer than `timeouts.backend_idle` a backend should keep a connection.
const A_LITTLE: Duration = Duration::from_secs(1);
/// Number of backends probed at the same time.
const MOST_AT_ONCE: usize = 64;
/// Stack of a probing thread.
const STACK_BYTES: usize = 512 << 10;

/// The result of the probes.
pub struct Report {
    /// The text for standard output.
    pub text: String,
    /// Whether the health checks of all backends pass.
    pub all_answer: bool,
}

/// The last line: the configuration is usable, and the number of warnings.
pub fn verdict(name: &str, warnings: usize) -> String {
    match warnings {
        0 => format!("{name}: ok"),
        1 => format!("{name}: ok, with 1 warning"),
        more => format!("{name}: ok, with {more} warnings"),
    }
}

/// How long idle connections are watched.
pub fn watched(config: &Config) -> Duration {
    (config.timeouts.backend_idle + A_LITTLE).min(MAX_WATCH)
}

/// Probes the backends of all pools, up to `MOST_AT_ONCE` at the same time. Each group takes as long as idle
/// connections are watched, plus the health check's timeout.
pub fn probe(config: &Config) -> Report {
    let is_asked = |pool: &&PoolConfig| pool.health_check.kind != HealthCheckKind::None;
    let pools = config.all_pools().filter(is_asked);
    let entries = pools.flat_map(|pool| pool.backends.iter().map(move |it| (pool, it)));
    let all: Vec<Subject<'_>> = entries.flat_map(|(pool, entry)| subjects(config, pool, entry)).collect();
    let mut findings = Vec::new();
    for part in all.chunks(MOST_AT_ONCE) {
        findings.extend(probe_together(config, part));
    }
    let answering = findings.iter().filter(|it| it.answers()).count();
    let mut text = String::new();
    for pool in config.all_pools().filter(|pool| !is_asked(pool) && !pool.backends.is_empty()) {
        text.push_str(&format!("pool {} is not probed: its health_check.type is \"none\"\n", pool.name));
    }
    for (subject, findings) in all.iter().zip(&findings) {
        text.push_str(&report::of(config, subject, findings));
    }
    text.push_str(&format!("\n{answering} of {} backends answer\n", all.len()));
    Report { text, all_answer: answering == all.len() }
}

fn probe_together(config: &Config, subjects: &[Subject<'_>]) -> Vec<Findings> {
    let watched = watched(config);
    thread::scope(|scope| {
        let start = |subject: &Subject<'_>| {
            let (check, backend, address) =
                (subject.pool.health_check.clone(), subject.backend.clone(), subject.address.clone());
            let connect = config.timeouts.connect;
            let work = move || match address {
                Some(Err(why)) => Findings::unprobed(why),
                address => probe_one(&backend, address.and_then(Result::ok), &check, (connect, watched)),
            };
            thread::Builder::new().name("check".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work)
        };
        let threads: Vec<_> = subjects.iter().map(start).collect();
        let unstarted = || Findings::unprobed("no thread could be started".to_owned());
        threads
            .into_iter()
            .map(|thread| thread.map_or_else(|_| unstarted(), |it| it.join().unwrap_or_else(|_| unstarted())))
            .collect()
    })
}
