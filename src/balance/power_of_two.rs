//! `power_of_two`: two distinct random candidates, the one with the lower load wins. Load is active
//! requests times recent latency; a weight makes a candidate be drawn more often and bear more.
//!
//! Latencies and numbers of active requests are noise, mostly, and where they decide, one of two equal
//! backends gets nearly everything for as long as the noise lasts. So they decide only beyond what noise can
//! be; else the one of the two that has had less than its share wins, and shares are those of the weights.

use parking_lot::Mutex;

use crate::pool::balancer::FULL_SHARE;
use crate::pool::{Backend, Balancer, Candidate, ClientKey};

/// Remembers who has had less than its share; see Mitzenmacher, "The Power of Two Choices in Randomized
/// Load Balancing" (2001), for the rest.
#[derive(Default)]
pub struct PowerOfTwo(Owed);

/// Recent latencies within this factor of each other count as the same. Few answers say little: of one
/// answer it takes the fifth power, of two the third, and so on, see [`FEW`]. Simulated with latencies that
/// vary tenfold at random, with and without outliers of fifty times as much: fewer than one in a hundred
/// runs of 200 requests are ten points off.
const SAME: f64 = 3.0;
/// So many answers halve the distance from the first answer's factor to [`SAME`].
const FEW: f64 = 4.0;
/// Below this all backends are fast: what remains is the scheduler's doing.
const FAST_US: f64 = 1000.0;
/// Deviations by which a number of active requests has to be off to say something.
const DEVIATIONS: f64 = 1.5;
/// One request in so many goes where the first draw says, whatever the load: a backend that was slow once
/// gets nothing while others are faster, and so could never show that it is fast again.
const BLIND: u32 = 64;

impl Balancer for PowerOfTwo {
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize {
        let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.share)).sum();
        if candidates.len() == 1 || total == 0 {
            return 0;
        }
        let one = draw(candidates, total, None);
        let pair = match fastrand::u32(..BLIND) {
            0 => (one, one),
            _ => (one, draw(candidates, total, Some(one))),
        };
        self.0.settle(candidates, total, client.is_retry, |owed| choose(candidates, pair, owed))
    }
}

/// One at random, by share, other than `not`.
fn draw(candidates: &[Candidate<'_>], total: u64, not: Option<usize>) -> usize {
    let without = not.map_or(0, |index| u64::from(candidates[index].share));
    let mut left = fastrand::u64(..(total - without).max(1));
    for (index, candidate) in candidates.iter().enumerate() {
        if Some(index) == not {
            continue;
        }
        let share = u64::from(candidate.share);
        if left < share {
            return index;
        }
        left -= share;
    }
    0
}

/// Of the two: the less loaded, and where that can't be told, the one that is owed more.
fn choose(candidates: &[Candidate<'_>], (one, other): (usize, usize), owed: &[i64]) -> usize {
    let (first, second) = (&candidates[one], &candidates[other]);
    let other_wins = if latencies_differ(first.backend, second.backend) {
        load(second) < load(first)
    } else if is_clearly_busier(first, second) {
        true
    } else if is_clearly_busier(second, first) {
        false
    } else {
        owed[second.place] > owed[first.place]
    };
    if other_wins { other } else { one }
}

/// By more than noise can be. A backend that has not answered yet differs from none, so that it is tried.
fn latencies_differ(one: &Backend, other: &Backend) -> bool {
    let answers = one.answers().min(other.answers());
    if answers == 0 {
        return false;
    }
    let (one, other) = (latency_us(one), latency_us(other));
    let same = SAME.powf(1.0 + FEW / f64::from(answers));
    one > other * same || other > one * same
}

fn latency_us(backend: &Backend) -> f64 {
    backend.recent_latency_us().max(FAST_US)
}

/// Whether one has more active requests than its share of what both have, by more than chance would give
/// it (as many throws of a loaded coin deviate).
fn is_clearly_busier(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let (active, share) = (f64::from(one.backend.active()), f64::from(one.share));
    let (both, part) = (active + f64::from(other.backend.active()), share / (share + f64::from(other.share)));
    active - both * part > 1.0 + DEVIATIONS * (both * part * (1.0 - part)).sqrt()
}

fn load(candidate: &Candidate<'_>) -> f64 {
    let active = f64::from(candidate.backend.active()) * f64::from(FULL_SHARE) / f64::from(candidate.share);
    (active + 1.0) * latency_us(candidate.backend)
}

/// How much each backend has had less than its share, by place: a request's worth is the sum of all shares.
/// Nobody is owed more than [`MOST_OWED`] requests, nor owes more: who was slow or away gets its share
/// from then on, and nothing for the past.
#[derive(Default)]
struct Owed(Mutex<Vec<i64>>);

/// See [`Owed`].
const MOST_OWED: i64 = 2;

impl Owed {
    /// Lets `choose` have what is owed, and notes its choice; a retry is nobody's turn. Takes the lock.
    fn settle(
        &self,
        candidates: &[Candidate<'_>],
        total: u64,
        is_retry: bool,
        choose: impl FnOnce(&[i64]) -> usize,
    ) -> usize {
        let mut owed = self.0.lock();
        let last_place = candidates.iter().map(|candidate| candidate.place).max().unwrap_or(0);
        if owed.len() <= last_place {
            owed.resize(last_place + 1, 0);
        }
        let chosen = choose(&owed);
        if is_retry {
            return chosen;
        }
        let total = total as i64;
        for (index, candidate) in candidates.iter().enumerate() {
            let taken = if index == chosen { total } else { 0 };
            let due = &mut owed[candidate.place];
            *due = (*due + i64::from(candidate.share) - taken).clamp(-MOST_OWED * total, MOST_OWED * total);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::pool::Tried;
    use crate::pool::backend::tests::backends;
    use crate::pool::tests::pool;

    #[test]
    fn a_slow_backend_gets_less_and_a_heavy_one_more() {
        let all = backends(3);
        let pool = pool(all, Box::new(PowerOfTwo::default()));
        let client = ClientKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut counts = [0; 3];
        for _ in 0..3000 {
            let mut lease = pool.lease(&client, &Tried::default(), Instant::now()).unwrap();
            let place = pool.backends().iter().position(|it| it.id() == lease.backend().id()).unwrap();
            counts[place] += 1;
            lease.answered(200, Duration::from_millis(if place == 0 { 50 } else { 1 }));
        }
        assert!(counts[0] < 100 && counts[1] > 1000 && counts[2] > 1000, "{counts:?}");
    }

    #[test]
    fn a_backend_that_was_slow_once_gets_its_share_again() {
        // How soon it is tried again is chance; this thread's is the same each time.
        fastrand::seed(1);
        let pool = pool(backends(3), Box::new(PowerOfTwo::default()));
        let client = ClientKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut shares = Vec::new();
        for slow_ms in [50, 1] {
            let before = pool.backends()[0].total_requests();
            for _ in 0..30_000 {
                let mut lease = pool.lease(&client, &Tried::default(), Instant::now()).unwrap();
                let is_first = lease.backend().id() == pool.backends()[0].id();
                lease.answered(200, Duration::from_millis(if is_first { slow_ms } else { 1 }));
            }
            shares.push(pool.backends()[0].total_requests() - before);
        }
        assert!(shares[0] < 400, "while it is slow: {shares:?}");
        assert!(shares[1] > 3000, "when it is fast again: {shares:?}");
    }

    /// A latency in milliseconds.
    type Noise = fn(&mut fastrand::Rng) -> f64;

    fn normal(random: &mut fastrand::Rng) -> f64 {
        (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
    }

    /// What the latencies of backends that are all alike look like.
    const NOISES: [(&str, Noise); 5] = [
        ("even", |random| 5.0 + random.f64()),
        ("exponential", |random| -50.0 * (1.0 - random.f64()).ln()),
        ("log-normal", |random| 3.0 * normal(random).exp()),
        ("spikes", |random| 0.3 + if random.u32(..33) == 0 { 20.0 } else { 0.0 }),
        ("bursts", |random| {
            2.0 * (0.5 * normal(random)).exp() * if random.u32(..10) == 0 { 30.0 } else { 1.0 }
        }),
    ];

    /// The share that each backend gets of so many requests, by so many clients at once.
    fn shares(
        weights: &[u32],
        (clients, requests): (usize, usize),
        latency_ms: impl Fn(usize, &mut fastrand::Rng) -> f64,
        seed: u64,
    ) -> Vec<f64> {
        fastrand::seed(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let all = backends(weights.len() as u16);
        all.iter().zip(weights).for_each(|(backend, weight)| backend.set_weight(*weight));
        let pool = pool(all, Box::new(PowerOfTwo::default()));
        let client = ClientKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut counts = vec![0; weights.len()];
        // Each with when it ends and how long it took.
        let mut held: Vec<(f64, f64, crate::pool::Lease)> = Vec::new();
        let mut now_ms = 0.0;
        for _ in 0..requests {
            if held.len() == clients {
                let first = (0..held.len()).min_by(|a, b| held[*a].0.total_cmp(&held[*b].0)).unwrap();
                let (end_ms, took_ms, mut lease) = held.swap_remove(first);
                now_ms = end_ms;
                lease.answered(200, Duration::from_secs_f64(took_ms / 1000.0));
            }
            let lease = pool.lease(&client, &Tried::default(), Instant::now()).unwrap();
            let place = pool.backends().iter().position(|it| it.id() == lease.backend().id()).unwrap();
            counts[place] += 1;
            let took_ms = latency_ms(place, &mut random);
            held.push((now_ms + took_ms, took_ms, lease));
        }
        counts.iter().map(|count| f64::from(*count) / requests as f64).collect()
    }

    #[test]
    fn equal_within_the_noise_means_shares_by_weight() {
        const RUNS: u64 = 40;
        for (name, noise) in NOISES {
            let (mut off, mut runs) = (Vec::new(), 0);
            for weights in [&[1, 1, 1][..], &[3, 1], &[5, 1, 1], &[1, 1]] {
                let total: u32 = weights.iter().sum();
                for (clients, seed) in
                    [1, 2, 8, 16].into_iter().flat_map(|it| (0..RUNS).map(move |seed| (it, seed)))
                {
                    let found = shares(weights, (clients, 200), |_, random| noise(random), seed);
                    let is_off = |(share, weight): (&f64, &u32)| {
                        (share - f64::from(*weight) / f64::from(total)).abs() > 0.1
                    };
                    runs += 1;
                    if found.iter().zip(weights).any(is_off) {
                        off.push((weights, clients, found));
                    }
                }
            }
            // Of noise without end some is more than anybody can tell from a difference.
            assert!(off.len() * 100 <= runs, "{name}: {} of {runs} runs are off: {off:?}", off.len());
        }
    }

    #[test]
    fn a_truly_slow_backend_is_left_alone_whatever_the_noise() {
        for (name, noise) in NOISES {
            for (weights, clients) in [(&[1, 1, 1][..], 1), (&[1, 1, 1], 8), (&[3, 1], 1), (&[3, 1], 4)] {
                let slow = |place: usize, random: &mut fastrand::Rng| {
                    noise(random) * if place == 0 { 40.0 } else { 1.0 }
                };
                let found = shares(weights, (clients, 1000), slow, 7);
                assert!(found[0] < 0.06, "{name}, {weights:?}, {clients} clients: {found:?}");
            }
        }
    }

    #[test]
    fn a_backend_that_hangs_gets_few() {
        let hangs = |place: usize, _: &mut fastrand::Rng| if place == 0 { 1e9 } else { 5.0 };
        let found = shares(&[1, 1], (50, 1000), hangs, 7);
        assert!(found[0] < 0.06, "{found:?}");
    }
}
