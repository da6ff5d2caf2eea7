//! Laws that every algorithm obeys, run over the list of all algorithms, so that a new one is tested before
//! it has tests of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use super::balancer;
use crate::config::Algorithm;
use crate::pool::backend::FULL_SHARE;
use crate::pool::backend::tests::backends;
use crate::pool::tests::pool;
use crate::pool::{Backend, Candidate, ClientKey, Pool, Tried};

const ALL: [Algorithm; 5] = [
    Algorithm::RoundRobin,
    Algorithm::LeastConn,
    Algorithm::IpHash,
    Algorithm::PowerOfTwo,
    Algorithm::ConsistentHash,
];

fn client(number: u32) -> ClientKey<'static> {
    ClientKey::of(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)))
}

fn pool_of(algorithm: Algorithm, weights: &[u32]) -> Pool {
    let all = backends(weights.len() as u16);
    for (backend, weight) in all.iter().zip(weights) {
        backend.set_weight(*weight);
    }
    pool(all, balancer(algorithm))
}

/// How often each backend was chosen, in the configuration's order.
fn picks(pool: &Pool, clients: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut counts = HashMap::new();
    for number in clients {
        let lease = pool.lease(&client(number), &Tried::default(), Instant::now()).expect("a backend");
        *counts.entry(lease.backend().id()).or_default() += 1;
    }
    pool.backends().iter().map(|backend| counts.get(&backend.id()).copied().unwrap_or(0)).collect()
}

#[test]
fn chooses_only_candidates_while_health_and_weights_change() {
    for algorithm in ALL {
        let balancer = balancer(algorithm);
        let all = backends(7);
        let mut random = fastrand::Rng::with_seed(1);
        for number in 0..100_000 {
            let candidates: Vec<Candidate<'_>> = candidates(&all, &mut random);
            if !candidates.is_empty() {
                let picked = balancer.pick(&candidates, &client(number));
                assert!(picked < candidates.len(), "{algorithm:?} picked {picked} of {}", candidates.len());
            }
        }
    }
}

fn candidates<'a>(all: &'a [Arc<Backend>], random: &mut fastrand::Rng) -> Vec<Candidate<'a>> {
    let mut candidates = Vec::new();
    for (place, backend) in all.iter().enumerate() {
        if random.bool() {
            candidates.push(Candidate { backend, place, share: random.u32(1..=5) * FULL_SHARE });
        }
    }
    candidates
}

#[test]
fn spreads_over_all_backends() {
    for algorithm in ALL {
        let counts = picks(&pool_of(algorithm, &[1; 4]), 0..8000);
        assert!(counts.iter().all(|count| (1700..=2300).contains(count)), "{algorithm:?}: {counts:?}");
    }
}

/// Exact for algorithms that take turns, approximate for those that hash or choose at random.
#[test]
fn respects_weights_over_a_cycle() {
    for algorithm in ALL {
        let counts = picks(&pool_of(algorithm, &[5, 1, 2]), 0..8000);
        let slack = match algorithm {
            Algorithm::RoundRobin | Algorithm::LeastConn => 0,
            _ => 250,
        };
        for (count, expected) in counts.iter().zip([5000u32, 1000, 2000]) {
            assert!(count.abs_diff(expected) <= slack, "{algorithm:?}: {counts:?}");
        }
    }
}

#[test]
fn weight_0_takes_none() {
    for algorithm in ALL {
        assert_eq!(picks(&pool_of(algorithm, &[1, 0]), 0..100), [100, 0], "{algorithm:?}");
    }
}

#[test]
fn rotation_is_exact_where_it_is_promised() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConn] {
        assert_eq!(picks(&pool_of(algorithm, &[1; 3]), 0..999), [333; 3], "{algorithm:?}");
    }
}

#[test]
fn a_hash_keeps_a_client_with_its_backend() {
    for algorithm in [Algorithm::IpHash, Algorithm::ConsistentHash] {
        let pool = pool_of(algorithm, &[1, 2, 3, 4, 5]);
        for number in 0..50 {
            let counts = picks(&pool, std::iter::repeat_n(number, 20));
            assert_eq!(counts.iter().filter(|count| **count > 0).count(), 1, "{algorithm:?}");
        }
    }
}
