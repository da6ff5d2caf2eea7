//! From the log's order to that in which requests began.
//!
//! A log has its lines in the order of their ends, and a request that took long began before many that
//! stand above it. So the latest lines are held back, and the earliest beginning among them goes first.
//! nginx and Apache write whole seconds: the lines of one second are spread evenly over it, else a
//! thousand requests a second would seem to begin at once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Duration;

/// How long a request takes whose log does not say it.
pub(super) const ASSUMED_LATENCY: Duration = Duration::from_millis(100);

/// Lines that are held back; a request that took longer than these many lines begins late. Some 10 MB.
const WINDOW: usize = 1 << 16;
/// Lines of one second that are spread together.
const MAX_SECOND: usize = 1 << 16;

/// A request that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Since 1970.
    pub began: Duration,
    /// How long it took.
    pub latency: Duration,
    /// Who asked.
    pub client: IpAddr,
    /// What is hashed in place of the client.
    pub key: Option<Box<str>>,
    /// Its pool's place.
    pub pool: u16,
    /// The place of the backend that answered, if the log says so.
    pub logged: Option<u16>,
    /// Keeps the log's order where times are equal.
    number: u64,
}

impl Arrival {
    /// Without its time, which [`Window::push`] finds.
    pub fn new(
        client: IpAddr,
        key: Option<Box<str>>,
        (pool, logged): (u16, Option<u16>),
        latency: Duration,
    ) -> Arrival {
        Arrival { began: Duration::ZERO, latency, client, key, pool, logged, number: 0 }
    }
}

/// The earliest is the greatest, as a heap wants it.
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
    /// Lines of one second, each with whether its time is that of its end.
    second: Vec<(Arrival, bool)>,
    second_at: Duration,
    lines: u64,
}

impl Window {
    /// Takes in the next line's request; `at` is when it ended if `at_end`, else when it began.
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

    /// No more lines will come of the second that came last.
    pub fn end(&mut self) {
        let (second, at) = (std::mem::take(&mut self.second), self.second_at);
        let step = 1.0 / second.len().max(1) as f64;
        for (index, (arrival, at_end)) in second.into_iter().enumerate() {
            self.hold(arrival, at + Duration::from_secs_f64(index as f64 * step), at_end);
        }
    }

    /// The earliest, as soon as there is more than a window of them, or `all` are wanted.
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
