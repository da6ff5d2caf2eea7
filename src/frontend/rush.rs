//! When requests come so fast that announcing each of them costs more than handling it.
//!
//! tiny_http's connection threads put requests into its queue, and the acceptor that sleeps at the queue is
//! woken for each: on a busy machine a switch between threads a request, and another to a worker. In a rush
//! the acceptor takes naps instead. Workers that are done with a request take in what has come meanwhile,
//! and the acceptor, at the end of each nap, what they have not.

use std::time::{Duration, Instant};

/// A nap. What comes while all workers wait for their backends waits this long at most.
pub(super) const NAP: Duration = Duration::from_micros(150);
/// Requests that are taken in before whoever does it goes back to work.
pub(super) const MOST_AT_ONCE: usize = 256;
/// A rush is over when nothing has come or waited for that many naps.
pub(super) const QUIET_NAPS: u32 = 20;
/// With fewer requests in flight the naps themselves would be what they wait for.
const MIN_IN_FLIGHT: usize = 8;
/// That many requests within a window make a rush.
const MIN_REQUESTS: u32 = 8;
const WINDOW: Duration = Duration::from_millis(2);

/// Notices a rush.
pub(super) struct Pace {
    window_began: Instant,
    requests: u32,
}

impl Pace {
    /// Nothing has come yet.
    pub fn new(now: Instant) -> Pace {
        Pace { window_began: now, requests: 0 }
    }

    /// A request has come; says whether that makes a rush. `in_flight` is asked only if it may.
    pub fn is_rush(&mut self, now: Instant, in_flight: impl FnOnce() -> usize) -> bool {
        if now.saturating_duration_since(self.window_began) > WINDOW {
            *self = Pace::new(now);
        }
        self.requests += 1;
        let is_rush = self.requests >= MIN_REQUESTS && in_flight() >= MIN_IN_FLIGHT;
        if is_rush {
            *self = Pace::new(now);
        }
        is_rush
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether requests at these microseconds, with that many in flight, make a rush.
    fn check(micros: &[u64], in_flight: usize, expected: bool) {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let found =
            micros.iter().any(|micros| pace.is_rush(start + Duration::from_micros(*micros), || in_flight));
        assert_eq!(found, expected, "{micros:?} {in_flight}");
    }

    #[test]
    fn many_at_once_make_a_rush() {
        check(&[0, 1, 2, 3, 4, 5, 6, 7], 8, true);
        check(&[0, 1, 2, 3, 4, 5, 6], 8, false);
        check(&[0, 1, 2, 3, 4, 5, 6, 7], 7, false);
    }

    #[test]
    fn slow_ones_do_not() {
        let slow: Vec<u64> = (0..100).map(|number| number * 1000).collect();
        check(&slow, 100, false);
    }
}
