//! The laws that every algorithm obeys, run over the whole list: a new one is tested before it has a
//! test of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::balancer;
use crate::config::Algorithm;
use crate::pool::backend::tests::backends;
use crate::pool::{Backend, ClientKey, Pool, Tried};

/// The algorithms that can be configured today.
const ALL: [Algorithm; 3] = [Algorithm::RoundRobin, Algorithm::LeastConn, Algorithm::IpHash];

fn client(number: u32) -> ClientKey {
    ClientKey { address: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)), is_retry: false }
}

fn picks(pool: &Pool, clients: impl Iterator<Item = u32>) -> HashMap<u64, u32> {
    let mut counts = HashMap::new();
    for number in clients {
        let lease = pool.lease(&client(number), &Tried::default()).expect("a backend is available");
        *counts.entry(lease.backend().id()).or_default() += 1;
    }
    counts
}

#[test]
fn chooses_only_candidates_while_health_changes() {
    for algorithm in ALL {
        let balancer = balancer(algorithm);
        let all = backends(7);
        let mut random = fastrand::Rng::with_seed(1);
        for number in 0..100_000 {
            let candidates: Vec<&Arc<Backend>> = all.iter().filter(|_| random.bool()).collect();
            if !candidates.is_empty() {
                let picked = balancer.pick(&candidates, &client(number));
                assert!(picked < candidates.len(), "{algorithm:?} picked {picked} of {}", candidates.len());
            }
        }
    }
}

#[test]
fn spreads_over_all_backends() {
    for algorithm in ALL {
        let pool = Pool::new(backends(4), balancer(algorithm));
        let counts = picks(&pool, 0..8000);
        assert_eq!(counts.len(), 4, "{algorithm:?} leaves a backend out");
        for count in counts.values() {
            assert!((1700..=2300).contains(count), "{algorithm:?}: {counts:?}");
        }
    }
}

#[test]
fn rotation_is_exact_where_it_is_promised() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConn] {
        let pool = Pool::new(backends(3), balancer(algorithm));
        let counts = picks(&pool, 0..999);
        assert!(counts.values().all(|count| *count == 333), "{algorithm:?}: {counts:?}");
    }
}

#[test]
fn a_hash_keeps_a_client_with_its_backend() {
    let pool = Pool::new(backends(5), balancer(Algorithm::IpHash));
    for number in 0..50 {
        assert_eq!(picks(&pool, std::iter::repeat_n(number, 20)).len(), 1);
    }
}
