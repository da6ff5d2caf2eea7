//! `power_of_two`: two distinct random candidates, the one with the lower load wins. Load is active
//! requests times recent latency; a weight makes a candidate be drawn more often and bear more.

use crate::pool::balancer::FULL_SHARE;
use crate::pool::{Backend, Balancer, Candidate, ClientKey};

/// Remembers nothing; see Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001).
pub struct PowerOfTwo;

/// Latencies within this factor of each other count as the same: without it, of two idle backends the
/// one that happens to be a hair faster would always win.
const STEP: f64 = 1.5;
/// One request in so many goes where the first draw says, whatever the load: a backend that was slow once
/// gets nothing while others are faster, and so could never show that it is fast again.
const BLIND: u32 = 64;

impl Balancer for PowerOfTwo {
    fn pick(&self, candidates: &[Candidate<'_>], _: &ClientKey<'_>) -> usize {
        let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.share)).sum();
        if candidates.len() == 1 || total == 0 {
            return 0;
        }
        let one = draw(candidates, total, None);
        if fastrand::u32(..BLIND) == 0 {
            return one;
        }
        let other = draw(candidates, total, Some(one));
        if load(&candidates[other]) < load(&candidates[one]) { other } else { one }
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

fn load(candidate: &Candidate<'_>) -> f64 {
    let active = f64::from(candidate.backend.active()) * f64::from(FULL_SHARE) / f64::from(candidate.share);
    (active + 1.0) * step_of(candidate.backend)
}

/// A backend that has not answered yet counts as fast, so that it is tried.
fn step_of(backend: &Backend) -> f64 {
    let us = backend.recent_latency_us().max(1.0);
    STEP.powf((us.ln() / STEP.ln()).round())
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
        let pool = pool(all, Box::new(PowerOfTwo));
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
        let pool = pool(backends(3), Box::new(PowerOfTwo));
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
}
