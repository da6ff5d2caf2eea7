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
    // When the slow backend is tried again is random; the seed makes it repeatable.
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

/// Distributions of latencies, the same for all backends.
const NOISES: [(&str, Noise); 5] = [
    ("even", |random| 5.0 + random.f64()),
    ("exponential", |random| -50.0 * (1.0 - random.f64()).ln()),
    ("log-normal", |random| 3.0 * normal(random).exp()),
    ("spikes", |random| 0.3 + if random.u32(..33) == 0 { 20.0 } else { 0.0 }),
    ("bursts", |random| 2.0 * (0.5 * normal(random)).exp() * if random.u32(..10) == 0 { 30.0 } else { 1.0 }),
];

/// The share of the requests that each backend gets, with this many concurrent clients.
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
    // The end and the latency of each request.
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
        // Unbounded noise sometimes can't be distinguished from a real difference.
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
