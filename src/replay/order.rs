//! Sorts requests by their beginning.
//!
//! A log has its lines in the order in which requests ended, and a long request began before many that are
//! logged before it. So the latest lines are held back, and the request among them that began first comes
//! next. nginx and Apache log whole seconds: the lines of one second are spread evenly over it, because
//! otherwise a thousand requests a second would seem to begin at once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Duration;

/// The latency of a request if the log does not have it.
pub(super) const ASSUMED_LATENCY: Duration = Duration::from_millis(100);

/// Number of lines held back, about 10 MB; a request that lasted longer than these lines begins too late.
const WINDOW: usize = 1 << 16;
/// Limit of lines of one second that are spread together.
const MAX_SECOND: usize = 1 << 16;

/// A request that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Time of the beginning since 1970.
    pub began: Duration,
    /// The request's latency.
    pub latency: Duration,
    /// The client's address.
    pub client: IpAddr,
    /// The hashed value, if it is not the client's address.
    pub key: Option<Box<str>>,
    /// Index of the pool.
    pub pool: u16,
    /// Index of the backend that answered, if logged.
    pub logged: Option<u16>,
    /// Preserves the log's order for equal times.
    number: u64,
}

impl Arrival {
    /// An arrival without its time, which [`Window::push`] determines.
    pub fn new(
        client: IpAddr,
        key: Option<Box<str>>,
        (pool, logged): (u16, Option<u16>),
        latency: Duration,
    ) -> Arrival {
        Arrival { began: Duration::ZERO, latency, client, key, pool, logged, number: 0 }
    }
}

/// Reversed, so that the heap returns the earliest first.
impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.began, other.number).cmp(&(self.began, self.number))
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// See the module.
#[derive(Default)]
pub struct Window {
    heap: BinaryHeap<Arrival>,
    /// Lines of one second, each with whether its time is that of the end.
    second: Vec<(Arrival, bool)>,
    second_at: Duration,
    lines: u64,
}

impl Window {
    /// Adds the next line's request; `at` is the time of its end if `at_end`, else of its beginning.
    pub fn push(&mut self, mut arrival: Arrival, at: Duration, is_whole_second: bool, at_end: bool) {
        arrival.number = self.lines;
        self.lines += 1;
        if !is_whole_second {
            return self.hold(arrival, at, at_end);
        }
        if at != self.second_at || self.second.len() >= MAX_SECOND {
            self.end();
            self.second_at = at;
        }
        self.second.push((arrival, at_end));
    }

    /// Spreads the lines of the last second, of which no more will come.
    pub fn end(&mut self) {
        let (second, at) = (std::mem::take(&mut self.second), self.second_at);
        let step = 1.0 / second.len().max(1) as f64;
        for (index, (arrival, at_end)) in second.into_iter().enumerate() {
            self.hold(arrival, at + Duration::from_secs_f64(index as f64 * step), at_end);
        }
    }

    /// The earliest request, once there are more than a window of them or if `all` are wanted.
    pub fn pop(&mut self, all: bool) -> Option<Arrival> {
        if all || self.heap.len() > WINDOW { self.heap.pop() } else { None }
    }

    fn hold(&mut self, mut arrival: Arrival, at: Duration, at_end: bool) {
        arrival.began = if at_end { at.saturating_sub(arrival.latency) } else { at };
        self.heap.push(arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(latency_ms: u64) -> Arrival {
        Arrival::new(IpAddr::from([127, 0, 0, 1]), None, (0, None), Duration::from_millis(latency_ms))
    }

    fn begun_ms(window: &mut Window) -> Vec<u128> {
        window.end();
        std::iter::from_fn(|| window.pop(true)).map(|it| it.began.as_millis()).collect()
    }

    #[test]
    fn long_requests_began_before_short_ones() {
        let mut window = Window::default();
        for (at_ms, latency_ms) in [(1000, 10), (1010, 5), (1020, 900)] {
            window.push(arrival(latency_ms), Duration::from_millis(at_ms), false, true);
        }
        assert_eq!(begun_ms(&mut window), [120, 990, 1005]);
    }

    #[test]
    fn a_second_s_lines_are_spread_over_it() {
        let mut window = Window::default();
        for at in [7, 7, 7, 7, 8] {
            window.push(arrival(100), Duration::from_secs(at), true, false);
        }
        assert_eq!(begun_ms(&mut window), [7000, 7250, 7500, 7750, 8000]);
    }

    #[test]
    fn no_more_than_a_window_is_held_back() {
        let mut window = Window::default();
        let mut popped = 0;
        for number in 0..3 * WINDOW as u64 {
            window.push(arrival(1), Duration::from_millis(number), false, true);
            popped += usize::from(window.pop(false).is_some());
        }
        assert_eq!(popped, 2 * WINDOW);
    }
}
