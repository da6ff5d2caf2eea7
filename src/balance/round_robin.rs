//! `round_robin`: strict rotation, 1 2 3 1 2 3; unequal weights are interleaved smoothly.

use super::smooth::Smooth;
use crate::pool::{Balancer, Candidate, ClientKey};

/// Each backend in turn.
#[derive(Default)]
pub struct RoundRobin(Smooth);

impl Balancer for RoundRobin {
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize {
        self.0.next(candidates, client.is_retry)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Instant;

    use super::*;
    use crate::pool::Tried;
    use crate::pool::backend::tests::backends;
    use crate::pool::tests::pool;

    fn order(weights: &[u32], picks: usize) -> String {
        let all = backends(weights.len() as u16);
        for (backend, weight) in all.iter().zip(weights) {
            backend.set_weight(*weight);
        }
        let pool = pool(all, Box::new(RoundRobin::default()));
        let client = ClientKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut order = String::new();
        for _ in 0..picks {
            let lease = pool.lease(&client, &Tried::default(), Instant::now()).unwrap();
            let place = pool.backends().iter().position(|it| it.id() == lease.backend().id()).unwrap();
            order.push(char::from(b'a' + place as u8));
        }
        order
    }

    #[test]
    fn equal_weights_rotate_strictly() {
        assert_eq!(order(&[3, 3, 3], 7), "abcabca");
    }

    #[test]
    fn unequal_weights_are_interleaved() {
        // The sequence that nginx's documentation gives for 5:1:1.
        assert_eq!(order(&[5, 1, 1], 7), "aabacaa");
        assert_eq!(order(&[2, 1], 6), "abaaba");
    }
}
