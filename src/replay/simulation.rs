//! The replay with one algorithm: its own pools, the leases held, and the times at which they end.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::clients::Seen;
use super::order::Arrival;
use crate::config::{Algorithm, Config};
use crate::pool::{ClientKey, Lease, Live, Pool, Tried};
use crate::reload;

/// The status of all simulated answers: failures in the log say nothing about the simulated backends.
const ANSWERED: u16 = 200;

/// A lease, and the time until which it is held.
struct Held {
    until: Duration,
    latency: Duration,
    lease: Lease,
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.until.cmp(&other.until)
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Held {}

/// The results of one backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Index of the pool.
    pub pool: usize,
    /// The configured name.
    pub name: String,
    /// Number of requests.
    pub requests: u64,
    /// The largest number of concurrent requests.
    pub peak: u32,
}

/// See the module.
pub struct Simulation {
    /// The algorithm and the name of each pool.
    pub pools: Vec<(Algorithm, String)>,
    /// The results of the backends of all pools, one pool after the other.
    pub tallies: Vec<Tally>,
    /// Index of each pool's first backend.
    firsts: Vec<usize>,
    /// Number of requests for which every backend was full.
    pub full: u64,
    live: Live,
    /// The pools before backends were removed, to find clients that move.
    before: Option<Live>,
    held: BinaryHeap<Reverse<Held>>,
    /// The first time in the log, and the instant that stands for it.
    start: Option<(Duration, Instant)>,
    now: Duration,
}

impl Simulation {
    /// A simulation of this configuration, with this algorithm or each pool's own; `before` is the
    /// configuration before backends were removed.
    pub fn new(algorithm: Option<Algorithm>, config: &Config, before: Option<&Config>) -> Simulation {
        let live = |config: &Config| {
            let mut config = config.clone();
            for pool in std::iter::once(&mut config.default_pool).chain(&mut config.pools) {
                pool.algorithm = algorithm.unwrap_or(pool.algorithm);
            }
            reload::build(config, None)
        };
        let live_now = live(config);
        let mut tallies: Vec<Tally> = Vec::new();
        let mut firsts = Vec::new();
        for (pool, it) in live_now.pools().iter().enumerate() {
            firsts.push(tallies.len());
            let tally = |name: &str| Tally { pool, name: name.to_owned(), ..Tally::default() };
            tallies.extend(it.backends().iter().map(|it| tally(it.name())));
        }
        let names = (0..firsts.len()).map(|place| live_now.pool_name(place).to_owned());
        let algorithms = live_now.pools().iter().map(|pool| pool.config().algorithm);
        let pools = algorithms.zip(names).collect();
        let before = before.map(live);
        let held = BinaryHeap::new();
        // Makes random choices reproducible for the same log.
        fastrand::seed(1);
        Simulation {
            pools,
            tallies,
            firsts,
            full: 0,
            live: live_now,
            before,
            held,
            start: None,
            now: Duration::ZERO,
        }
    }

    /// The configured backends with their pools' indices, including removed ones.
    pub fn configured(&self) -> impl Iterator<Item = (usize, &str)> {
        let pools = self.before.as_ref().unwrap_or(&self.live).pools();
        pools
            .iter()
            .enumerate()
            .flat_map(|(place, pool)| pool.backends().iter().map(move |it| (place, it.name())))
    }

    /// The backend's name in the report, with its pool if there are several.
    pub fn shown(&self, tally: &Tally) -> String {
        match self.pools.len() {
            1 => tally.name.clone(),
            _ => format!("{}: {}", self.pools[tally.pool].1, tally.name),
        }
    }

    /// Whether this pool maps each client to a certain backend, so that clients can move.
    pub fn has_homes(&self, pool: usize) -> bool {
        self.pools[pool].0.is_hash()
    }

    /// Whether any pool does so.
    pub fn has_any_homes(&self) -> bool {
        (0..self.pools.len()).any(|pool| self.has_homes(pool))
    }

    /// What [`Simulation::note_move`] compares with, for the report.
    pub fn compared_with(&self) -> &'static str {
        if self.before.is_some() { "all backends" } else { "the log" }
    }

    /// Begins a request; returns the index of its backend, or `None` if all were full.
    pub fn begin(&mut self, arrival: &Arrival, client: &ClientKey<'_>) -> Option<usize> {
        self.now = self.now.max(arrival.began);
        self.end_until(self.now);
        let now = self.instant(self.now);
        let pool = &self.live.pools()[usize::from(arrival.pool)];
        let Ok(lease) = pool.lease(client, &Tried::default(), now) else {
            self.full += 1;
            return None;
        };
        let place = self.firsts[usize::from(arrival.pool)] + place_in(pool, lease.backend().id());
        let tally = &mut self.tallies[place];
        tally.requests += 1;
        tally.peak = tally.peak.max(lease.backend().active());
        let until = arrival.began + arrival.latency;
        self.held.push(Reverse(Held { until, latency: arrival.latency, lease }));
        Some(place)
    }

    fn end_until(&mut self, now: Duration) {
        while self.held.peek().is_some_and(|Reverse(held)| held.until <= now) {
            if let Some(Reverse(mut held)) = self.held.pop() {
                held.lease.answered(ANSWERED, held.latency);
            }
        }
    }

    fn instant(&mut self, now: Duration) -> Instant {
        let (first, start) = *self.start.get_or_insert_with(|| (now, Instant::now()));
        start.checked_add(now.saturating_sub(first)).unwrap_or(start)
    }

    /// Notes whether the client gets another backend: compared with the configuration before backends were
    /// removed, or else with the log.
    pub fn note_move(
        &self,
        seen: &mut Seen<'_>,
        index: usize,
        place: Option<usize>,
        arrival: &Arrival,
        client: &ClientKey<'_>,
    ) {
        match (&self.before, arrival.logged) {
            (Some(before), _) if seen.is_new() => {
                let (_, now) = self.start.unwrap_or((Duration::ZERO, Instant::now()));
                let home = |live: &Live| {
                    let pool = live.pools().get(usize::from(arrival.pool))?;
                    pool.would_pick(client, now).map(|it| it.name().to_owned())
                };
                seen.set(index, home(before) != home(&self.live));
            }
            (None, Some(logged)) => seen.set(index, place != Some(usize::from(logged))),
            _ => {}
        }
    }
}

fn place_in(pool: &Pool, id: u64) -> usize {
    pool.backends().iter().position(|backend| backend.id() == id).unwrap_or(0)
}
