//! One algorithm's replay: a pool of its own, the leases that are held, and when each of them ends.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::clients::Seen;
use super::order::Arrival;
use crate::config::{Algorithm, Config};
use crate::pool::{ClientKey, Lease, Live, Pool, Tried};
use crate::reload;

/// What a relayed answer's status is; failures of then say nothing of now.
const ANSWERED: u16 = 200;

/// A lease that is held, and until when.
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

/// What came of one backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// As configured.
    pub name: String,
    /// Requests that it got.
    pub requests: u64,
    /// Most that it had at once.
    pub peak: u32,
}

/// See the module.
pub struct Simulation {
    /// How backends are chosen here.
    pub algorithm: Algorithm,
    /// By place.
    pub tallies: Vec<Tally>,
    /// Requests that found every backend full.
    pub full: u64,
    live: Live,
    /// What clients' places are compared with, where backends were taken away.
    before: Option<Live>,
    held: BinaryHeap<Reverse<Held>>,
    /// The log's first moment, and what stands for it.
    start: Option<(Duration, Instant)>,
    now: Duration,
}

impl Simulation {
    /// Over the pool `default` of this configuration; `before` is what it was before backends were taken
    /// away.
    pub fn new(algorithm: Algorithm, config: &Config, before: Option<&Config>) -> Simulation {
        let live = |config: &Config| {
            let mut config = config.clone();
            config.default_pool.algorithm = algorithm;
            reload::build(config, None)
        };
        let live_now = live(config);
        let tally = |name: &str| Tally { name: name.to_owned(), ..Tally::default() };
        let tallies = live_now.default_pool().backends().iter().map(|it| tally(it.name())).collect();
        let before = before.map(live);
        let held = BinaryHeap::new();
        // Where chance decides, the same log gives the same result.
        fastrand::seed(1);
        Simulation {
            algorithm,
            tallies,
            full: 0,
            live: live_now,
            before,
            held,
            start: None,
            now: Duration::ZERO,
        }
    }

    /// How many backends the configuration has, those taken away included.
    pub fn configured(&self) -> usize {
        self.before.as_ref().unwrap_or(&self.live).default_pool().backends().len()
    }

    /// Whether clients have backends of their own, so that they can move.
    pub fn has_homes(&self) -> bool {
        self.algorithm.is_hash()
    }

    /// What [`Simulation::note_move`] compares with, for people.
    pub fn compared_with(&self) -> &'static str {
        if self.before.is_some() { "all backends" } else { "the log" }
    }

    /// A request begins: the place of its backend, if there was one with room.
    pub fn begin(&mut self, arrival: &Arrival, client: &ClientKey<'_>) -> Option<usize> {
        self.now = self.now.max(arrival.began);
        self.end_until(self.now);
        let now = self.instant(self.now);
        let pool = self.live.default_pool();
        let Ok(lease) = pool.lease(client, &Tried::default(), now) else {
            self.full += 1;
            return None;
        };
        let place = place_in(pool, lease.backend().id());
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

    /// Notes whether the client goes elsewhere than before: than without the change, where backends were
    /// taken away, else than the log says it did.
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
                let home =
                    |live: &Live| live.default_pool().would_pick(client, now).map(|it| it.name().to_owned());
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
