//! The thread that looks up backends' names: at the start, and again when an answer expires, never while a
//! request waits for it. A name that can't be looked up keeps its addresses.
//!
//! With `"addresses": "one"` a name is one backend with several addresses. With `each` and `srv` every
//! address is a separate backend: [`members`] keeps the list by the rules of [`roster`], and pools are
//! rebuilt when the list changes.

pub mod dns;
pub mod members;
pub mod resolver;
pub mod roster;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use log::Level::{Info, Warn};

use crate::config::{Addresses, BackendUrl, Config, DnsConfig};
use crate::logging::event;
use crate::pool::{Backend, Live, SharedLive};
use crate::shutdown::ShutdownSignal;
use crate::supervised;
use crate::transport::look_up;
use members::{Key, Members};
use resolver::Found;

/// A look-up calls the system's libraries.
const STACK_BYTES: usize = 512 << 10;
/// How long a start or a reload waits for new names; a slow resolver must not hold it up.
const FIRST_ROUND: Duration = Duration::from_secs(1);
/// How soon a reload is noticed, and how often absent addresses are checked.
const GLANCE: Duration = Duration::from_millis(500);
/// Limit of concurrent look-ups.
const MOST_AT_ONCE: usize = 16;
/// Pause before a failed look-up is repeated; it doubles with each failure ...
const RETRY: Duration = Duration::from_secs(1);
/// ... up to eight seconds.
const MOST_DOUBLINGS: u32 = 3;
/// Shortest pause between look-ups, however short the TTL.
const SHORTEST: Duration = Duration::from_millis(100);

/// What to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    /// The backend with this id, for all of its addresses.
    One(u64),
    /// A name whose addresses are separate backends.
    Several(Key),
}

/// A finished look-up, and how long its answer is valid (`None` if it failed).
struct Done {
    subject: Subject,
    again: Option<Duration>,
}

struct Schedule {
    due: Instant,
    under_way: bool,
    failures: u32,
}

/// A look-up to start.
enum Task {
    One(Arc<Backend>),
    Several(Key, Duration),
}

/// What look-ups share.
#[derive(Clone)]
struct Context {
    live: Arc<SharedLive>,
    members: Arc<Members>,
}

/// Starts the thread and waits a moment for its first round. `rebuild` rebuilds the pools.
///
/// # Errors
/// The operating system's, for the thread.
pub fn start(
    live: Arc<SharedLive>,
    members: Arc<Members>,
    rebuild: impl Fn() + Send + 'static,
    shutdown: ShutdownSignal,
) -> io::Result<()> {
    let (first_round, done) = bounded(1);
    let context = Context { live, members };
    let work = move || run(&context, &rebuild, first_round, &shutdown);
    supervised::start("names", STACK_BYTES, work)?;
    let _: Result<(), _> = done.recv_timeout(FIRST_ROUND);
    Ok(())
}

fn run(context: &Context, rebuild: &dyn Fn(), first_round: Sender<()>, shutdown: &ShutdownSignal) {
    let (results, inbox) = unbounded();
    let mut schedules = HashMap::new();
    let mut first_round = Some(first_round);
    loop {
        let live = context.live.get();
        let next = look_up_due(context, &live, &mut schedules, &results);
        context.members.look(&live);
        if context.members.take_stale() {
            rebuild();
        }
        if schedules.values().all(|schedule| !schedule.under_way) {
            drop(first_round.take());
        }
        let wait = next.saturating_duration_since(Instant::now()).min(GLANCE);
        if wait_for_result(&inbox, shutdown, wait, &mut schedules, &live.config) {
            return;
        }
    }
}

/// Starts the look-ups that are due; returns when the next one is.
fn look_up_due(
    context: &Context,
    live: &Live,
    schedules: &mut HashMap<Subject, Schedule>,
    results: &Sender<Done>,
) -> Instant {
    let now = Instant::now();
    let tasks = tasks(live);
    schedules.retain(|subject, _| tasks.iter().any(|(known, _)| known == subject));
    let mut under_way = schedules.values().filter(|schedule| schedule.under_way).count();
    let latest = now + live.config.timeouts.resolve;
    let mut next = latest;
    for (subject, task) in tasks {
        let new = Schedule { due: now, under_way: false, failures: 0 };
        let schedule = schedules.entry(subject.clone()).or_insert(new);
        // A reload may have shortened the interval.
        schedule.due = schedule.due.min(latest);
        if schedule.due <= now && !schedule.under_way && under_way < MOST_AT_ONCE {
            schedule.under_way = spawn(context.clone(), task, subject, results.clone());
            under_way += usize::from(schedule.under_way);
        }
        if !schedule.under_way {
            next = next.min(schedule.due);
        }
    }
    next
}

/// All names to look up.
fn tasks(live: &Live) -> Vec<(Subject, Task)> {
    let one = live.backends().filter(|backend| !backend.is_endpoint()).chain(live.auth_services());
    let one = one.map(|backend| (Subject::One(backend.id()), Task::One(Arc::clone(backend))));
    let several = Key::all(&live.config)
        .map(|(key, pool)| (Subject::Several(key.clone()), Task::Several(key, pool.health_check.interval)));
    one.chain(several).collect()
}

/// Runs a look-up in its own thread, so that one that hangs does not delay others. Literal addresses take no
/// time and no thread.
fn spawn(context: Context, task: Task, subject: Subject, results: Sender<Done>) -> bool {
    let is_literal = matches!(&task, Task::One(backend) if is_literal(backend.url()));
    let work = move || {
        let again = match task {
            Task::One(backend) => look_up_one(&backend).then_some(Duration::MAX),
            Task::Several(key, interval) => {
                let live = context.live.get();
                let result = ask(&key, &live.config.dns);
                let again = result.as_ref().ok().map(|found| found.ttl.unwrap_or(Duration::MAX));
                context.members.note(&key, interval, result, Some(&live));
                again
            }
        };
        // Fails if the `names` thread has ended.
        let _ = results.send(Done { subject, again });
    };
    if is_literal {
        work();
        return true;
    }
    thread::Builder::new().name("look-up".into()).stack_size(STACK_BYTES).spawn(work).is_ok()
}

fn ask(key: &Key, config: &DnsConfig) -> Result<Found, String> {
    match key.mode {
        Addresses::Srv => resolver::srv(&key.url, config),
        Addresses::Each | Addresses::One => resolver::each(&key.url, config),
    }
}

/// Waits for a result, the next look-up or the shutdown; returns whether it was the shutdown.
fn wait_for_result(
    inbox: &Receiver<Done>,
    shutdown: &ShutdownSignal,
    wait: Duration,
    schedules: &mut HashMap<Subject, Schedule>,
    config: &Config,
) -> bool {
    select! {
        recv(inbox) -> done => if let Ok(Done { subject, again }) = done
            && let Some(schedule) = schedules.get_mut(&subject)
        {
            schedule.under_way = false;
            schedule.failures = if again.is_some() { 0 } else { schedule.failures.saturating_add(1) };
            let pause = again.unwrap_or(RETRY * 2_u32.saturating_pow(schedule.failures.saturating_sub(1).min(MOST_DOUBLINGS)));
            let shortest = config.dns.min_ttl.max(SHORTEST);
            schedule.due = Instant::now() + pause.max(shortest).min(config.timeouts.resolve.max(SHORTEST));
        },
        recv(shutdown.channel()) -> _ => return true,
        default(wait) => {}
    }
    false
}

/// Looks up the names that a reload adds, before they serve; waits a moment for the results.
pub fn look_up_new(config: &Config, backends: Vec<Arc<Backend>>, members: &Arc<Members>) {
    let (done, all) = bounded::<()>(0);
    let start = |work: Box<dyn FnOnce() + Send>| {
        let done = done.clone();
        let work = move || {
            work();
            drop(done);
        };
        // If no thread can be started, the `names` thread does the look-up later.
        let _ = thread::Builder::new().name("look-up".into()).stack_size(STACK_BYTES).spawn(work);
    };
    for backend in backends.into_iter().filter(|backend| !backend.is_endpoint()) {
        match is_literal(backend.url()) {
            true => _ = look_up_one(&backend),
            false => start(Box::new(move || _ = look_up_one(&backend))),
        }
    }
    for (key, pool) in Key::all(config).filter(|(key, _)| !members.is_known(key)) {
        let (members, dns, interval) = (Arc::clone(members), config.dns.clone(), pool.health_check.interval);
        start(Box::new(move || members.note(&key, interval, ask(&key, &dns), None)));
    }
    drop(done);
    // Returns when all look-ups have dropped their `done`.
    let _ = all.recv_timeout(FIRST_ROUND);
}

fn is_literal(url: &BackendUrl) -> bool {
    match url {
        BackendUrl::Http { host, .. } | BackendUrl::Https { host, .. } => host.parse::<IpAddr>().is_ok(),
        BackendUrl::Unix { .. } => true,
    }
}

/// Looks up the backend's name; returns whether it was resolved.
fn look_up_one(backend: &Backend) -> bool {
    let book = backend.resolved_addresses();
    match look_up(backend.url()) {
        Ok(addresses) => {
            let known_before = !book.get().is_empty();
            if book.looked_up(false) {
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("backend", &backend.name()), ("addresses", &addresses.len())];
                event(Info, "names", "name resolved again", &fields);
            }
            if book.set(&addresses) && known_before {
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("backend", &backend.name()), ("count", &addresses.len())];
                event(Info, "names", "addresses changed", &fields);
            }
            true
        }
        Err(error) => {
            if book.looked_up(true) {
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("backend", &backend.name()), ("error", &error)];
                event(Warn, "names", "name not resolved", &fields);
            }
            false
        }
    }
}
