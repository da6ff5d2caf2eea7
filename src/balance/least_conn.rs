//! `least_conn`: the fewest active requests per weight; ties rotate, so that an idle pool does not send every
//! request to its first backend.

use std::cmp::Ordering;

use super::smooth::Smooth;
use crate::pool::{Balancer, Candidate, ClientKey};

/// Checks every candidate once. Ties are broken by [`Smooth`], so that weights also hold in an idle pool.
#[derive(Default)]
pub struct LeastConn(Smooth);

impl Balancer for LeastConn {
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize {
        // Read only once, since the counts change meanwhile.
        let active: Vec<u64> = candidates.iter().map(|it| u64::from(it.backend.active())).collect();
        let share = |index: usize| u64::from(candidates[index].share);
        // Compares fractions without division.
        let compare =
            |one: usize, other: usize| (active[one] * share(other)).cmp(&(active[other] * share(one)));
        let (mut least, mut ties) = (0, 1);
        for index in 1..candidates.len() {
            match compare(index, least) {
                Ordering::Less => (least, ties) = (index, 1),
                Ordering::Equal => ties += 1,
                Ordering::Greater => {}
            }
        }
        match ties {
            1 => least,
            all if all == candidates.len() => self.0.next(candidates, client.is_retry),
            _ => {
                let is_tied = |index: &usize| compare(*index, least) == Ordering::Equal;
                let tied: Vec<usize> = (0..candidates.len()).filter(is_tied).collect();
                let among: Vec<Candidate<'_>> = tied.iter().map(|index| candidates[*index]).collect();
                tied[self.0.next(&among, client.is_retry)]
            }
        }
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

    const CLIENT: ClientKey<'static> = ClientKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[test]
    fn the_backend_with_fewer_active_requests_wins() {
        let pool = pool(backends(3), Box::new(LeastConn::default()));
        let lease = || pool.lease(&CLIENT, &Tried::default(), Instant::now()).unwrap();
        let mut held: Vec<_> = (0..3).map(|_| lease()).collect();
        assert!(pool.backends().iter().all(|backend| backend.active() == 1));
        let freed = held.remove(1).backend().id();
        for _ in 0..5 {
            assert_eq!(lease().backend().id(), freed);
        }
    }

    #[test]
    fn a_heavier_backend_holds_more() {
        let all = backends(2);
        all[0].set_weight(3);
        let pool = pool(all, Box::new(LeastConn::default()));
        let _held: Vec<_> =
            (0..8).map(|_| pool.lease(&CLIENT, &Tried::default(), Instant::now()).unwrap()).collect();
        let active: Vec<u32> = pool.backends().iter().map(|backend| backend.active()).collect();
        assert_eq!(active, [6, 2]);
    }
}
