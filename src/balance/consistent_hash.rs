//! `consistent_hash`: weighted rendezvous hashing. Every backend gets a score from the client's hash and its
//! own digest, and the highest score wins. So losing one of n backends moves only that backend's clients, and
//! instances with the same configuration agree regardless of their history.
//!
//! Weights are applied as in Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (2005): score =
//! weight / -ln(u) with u uniform in (0, 1).

use super::ip_hash::hash;
use super::rendezvous::{mixed, uniform};
use crate::pool::{Balancer, Candidate, ClientKey};

/// Has no state.
pub struct ConsistentHash;

impl Balancer for ConsistentHash {
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize {
        let key = hash(client) as u64;
        let (mut chosen, mut best) = (0, f64::MIN);
        for (index, candidate) in candidates.iter().enumerate() {
            let u = uniform(mixed(key ^ candidate.backend.digest() as u64));
            let weight = f64::from(candidate.backend.weight());
            // weight / (1 - u) is an upper bound of the score and needs no logarithm; most backends are ruled
            // out by it.
            if weight > best * (1.0 - u) {
                let score = weight / -u.ln();
                if score > best {
                    (chosen, best) = (index, score);
                }
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::pool::backend::tests::backends;
    use crate::pool::tests::pool;
    use crate::pool::{Backend, Pool};

    fn of(all: Vec<Arc<Backend>>) -> Pool {
        pool(all, Box::new(ConsistentHash))
    }

    fn homes(pool: &Pool) -> Vec<String> {
        let home = |number| {
            let client = ClientKey::of(IpAddr::V4(Ipv4Addr::from_bits(number)));
            pool.would_pick(&client, Instant::now()).unwrap().name().to_owned()
        };
        (0..20_000).map(home).collect()
    }

    #[test]
    fn losing_one_moves_its_clients_and_no_others() {
        let pool = of(backends(10));
        let before = homes(&pool);
        let lost = pool.backends()[3].name().to_owned();
        pool.backends()[3].set_unhealthy_for_test();
        let after = homes(&pool);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| *before == lost));
        let share = moved.count() as f64 / before.len() as f64;
        assert!((0.08..0.12).contains(&share), "{share} moved");
    }

    #[test]
    fn two_instances_agree_whatever_the_order_of_their_backends() {
        let mut other = backends(5);
        other.reverse();
        assert_eq!(homes(&of(backends(5))), homes(&of(other)));
    }

    #[test]
    fn a_weight_draws_its_share_and_moves_nobody_between_others() {
        let pool = of(backends(3));
        let before = homes(&pool);
        pool.backends()[0].set_weight(5);
        let after = homes(&pool);
        let heavy = pool.backends()[0].name();
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || after == heavy));
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for home in &after {
            *counts.entry(home).or_default() += 1;
        }
        let share = counts[heavy] as f64 / after.len() as f64;
        assert!((0.69..0.74).contains(&share), "{share} of 5/7");
    }
}
