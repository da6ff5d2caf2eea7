//! A minute of everything at once: good, slow, broken and hostile clients, while backends die and come
//! back every two seconds. At the end stands an account. `make soak`; `SOAK_SECONDS=300` for longer.
#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

mod clients;
#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the end-to-end tests")]
mod support;

use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use clients::{KINDS, Kind};
use support::{Backend, Balancer, config, with_room};

/// Requests that must not be lost, at least; fewer would prove little.
const MIN_IDEMPOTENT_A_SECOND: u64 = 800;
/// What may be left at the end over the level before: lazily ended threads, spare connections.
const SPARE_THREADS: u64 = 12;
const SPARE_DESCRIPTORS: u64 = 60;
const SPARE_KB: u64 = 64 << 10;
/// How long everything gets to settle; tiny_http's threads end five seconds after their connection.
const SETTLE: Duration = Duration::from_secs(60);

/// What the clients report.
#[derive(Default)]
pub struct Account {
    /// Idempotent requests sent.
    pub sent: AtomicU64,
    /// Those of them without a whole answer of 200.
    pub lost: AtomicU64,
    /// Requests that are not idempotent.
    pub posts: AtomicU64,
    /// Those that failed, which may be.
    pub failed_posts: AtomicU64,
    /// What hostile clients did.
    pub hostile: AtomicU64,
    /// Time to stop.
    pub stop: AtomicBool,
}

/// What a process takes.
#[derive(Debug, Clone, Copy)]
struct Level {
    kb: u64,
    threads: u64,
    descriptors: u64,
}

impl Level {
    fn of(pid: u32) -> Level {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
        Level { kb: figure("VmRSS:"), threads: figure("Threads:"), descriptors }
    }

    fn is_near(self, before: Level) -> bool {
        self.threads <= before.threads + SPARE_THREADS
            && self.descriptors <= before.descriptors + SPARE_DESCRIPTORS
            && self.kb <= before.kb + SPARE_KB
    }
}

fn main() -> ExitCode {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut backends: Vec<_> = (1..=4).map(|number| Backend::named(&format!("backend-{number}"))).collect();
    let quick = json!({ "access_log": false, "health_check": { "interval": "500ms" } });
    let balancer = Balancer::start(config(&backends.iter().collect::<Vec<_>>(), quick)).once_probed();
    let before = Level::of(balancer.pid());
    println!("before:  {before:?}");
    let account = Account::default();
    let mut peak = before;
    thread::scope(|scope| {
        for Kind { name, count, run } in KINDS {
            for _ in 0..*count {
                let (account, address) = (&account, balancer.address());
                thread::Builder::new()
                    .name((*name).into())
                    .spawn_scoped(scope, move || run(address, account))
                    .unwrap();
            }
        }
        peak = disturb(&mut backends, &balancer, &account, Duration::from_secs(seconds));
        account.stop.store(true, Relaxed);
    });
    let after = settle(&balancer, before);
    report(&account, [before, peak, after], seconds)
}

/// Stops and restarts a backend at a time until the time is up; the highest level seen.
fn disturb(backends: &mut [Backend], balancer: &Balancer, account: &Account, time: Duration) -> Level {
    let (start, mut peak, mut round) = (Instant::now(), Level::of(balancer.pid()), 0);
    while start.elapsed() < time {
        let index = round % backends.len();
        let victim = &mut backends[index];
        victim.stop();
        thread::park_timeout(Duration::from_secs(1));
        victim.restart();
        thread::park_timeout(Duration::from_secs(1));
        round += 1;
        let now = Level::of(balancer.pid());
        peak = Level {
            kb: peak.kb.max(now.kb),
            threads: peak.threads.max(now.threads),
            descriptors: peak.descriptors.max(now.descriptors),
        };
        if round % 3 == 0 {
            let (sent, lost) = (account.sent.load(Relaxed), account.lost.load(Relaxed));
            println!("{:>4} s   idempotent sent {sent}, lost {lost}   {now:?}", start.elapsed().as_secs());
        }
    }
    peak
}

fn settle(balancer: &Balancer, before: Level) -> Level {
    let deadline = Instant::now() + with_room(SETTLE);
    loop {
        let now = Level::of(balancer.pid());
        if now.is_near(before) || Instant::now() > deadline {
            return now;
        }
        thread::park_timeout(Duration::from_millis(200));
    }
}

fn report(account: &Account, [before, peak, after]: [Level; 3], seconds: u64) -> ExitCode {
    let figure = |counter: &AtomicU64| counter.load(Relaxed);
    println!("\nidempotent requests  sent {}  lost {}", figure(&account.sent), figure(&account.lost));
    println!(
        "POSTs                sent {}  failed {}",
        figure(&account.posts),
        figure(&account.failed_posts)
    );
    println!("hostile acts         {}", figure(&account.hostile));
    println!(
        "before               {before:?}\npeak                 {peak:?}\nafter                {after:?}"
    );
    let enough = figure(&account.sent) >= MIN_IDEMPOTENT_A_SECOND * seconds;
    let kept = enough && figure(&account.lost) == 0 && after.is_near(before);
    println!("{}", if kept { "every promise was kept" } else { "A PROMISE WAS BROKEN" });
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
