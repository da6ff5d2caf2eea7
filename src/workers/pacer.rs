//! Decides at each look how many more workers to wake for waiting requests. Workers that wait for backends
//! should be many; workers that wait for processors should be few, since they only cost memory and cold
//! caches.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Backends count as slow if a job takes longer than this: the worker then waits most of the time.
const SLOW: Duration = Duration::from_millis(5);
/// With idle processors and fast backends, one more worker is woken per this time.
const STEP: Duration = Duration::from_millis(2);
/// With busy processors, a request that has waited this long gets another worker all the same.
const LONG: Duration = Duration::from_millis(15);
/// If no worker has finished a job for this long, all are stuck and others must be woken.
const STUCK: Duration = Duration::from_millis(20);

/// The input of a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// Jobs in the queue.
    pub waiting: u64,
    /// Jobs that workers have taken from the queue so far.
    pub taken: u64,
    /// Jobs that workers have finished so far.
    pub done: u64,
    /// How long a job takes, recently.
    pub job_takes: Duration,
    /// See [`super::processors`].
    pub processors_are_busy: Option<bool>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Pacer {
    /// The time of each tick and the arrivals up to it, for arrivals that are still queued.
    looks: VecDeque<(Instant, u64)>,
    done: u64,
    last_done: Option<Instant>,
    last_step: Option<Instant>,
    /// Workers woken at the last look.
    woken: u64,
}

impl Pacer {
    /// How many workers to wake.
    pub fn look(&mut self, seen: Observation, now: Instant) -> u64 {
        self.note(seen, now);
        let is_stuck = since(self.last_done, now) >= STUCK;
        let is_slow = seen.job_takes >= SLOW;
        // Load unknown: assume busy processors unless backends are slow.
        let processors_are_busy = seen.processors_are_busy.unwrap_or(!is_slow);
        self.woken = if is_stuck || (is_slow && !processors_are_busy) {
            // Doubles at each look until it is enough, so that all workers are awake within a few looks.
            self.late(seen.taken, Duration::ZERO, now).min((self.woken * 2).max(1))
        } else if processors_are_busy {
            self.late(seen.taken, LONG, now).min(1)
        } else if since(self.last_step, now) >= STEP {
            self.late(seen.taken, Duration::ZERO, now).min(1)
        } else {
            0
        };
        if self.woken > 0 {
            self.last_step = Some(now);
        }
        let come = seen.taken + seen.waiting;
        if self.looks.back().map_or(seen.taken, |(_, come)| *come) < come {
            self.looks.push_back((now, come));
        }
        self.woken
    }

    fn note(&mut self, seen: Observation, now: Instant) {
        if seen.done != self.done || seen.waiting == 0 || self.last_done.is_none() {
            (self.done, self.last_done) = (seen.done, Some(now));
        }
        while self.looks.front().is_some_and(|(_, come)| *come <= seen.taken) {
            self.looks.pop_front();
        }
    }

    /// How many queued jobs have waited for at least `patience`, by the latest look that is as old. The queue
    /// is first in, first out, so of the arrivals up to that look all but `taken` are still queued.
    fn late(&self, taken: u64, patience: Duration, now: Instant) -> u64 {
        let late = self.looks.iter().rev().find(|(at, _)| now.saturating_duration_since(*at) >= patience);
        late.map_or(0, |(_, come)| come.saturating_sub(taken))
    }
}

/// Time since `moment`; `Duration::MAX` for `None`.
fn since(moment: Option<Instant>, now: Instant) -> Duration {
    moment.map_or(Duration::MAX, |moment| now.saturating_duration_since(moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds looks of (microseconds, waiting, taken, done), and compares how many workers each one wakes.
    fn check(
        looks: &[(u64, u64, u64, u64)],
        job_takes_ms: u64,
        processors_are_busy: impl Into<Option<bool>>,
        expected: &[u64],
    ) {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        let processors_are_busy = processors_are_busy.into();
        let job_takes = Duration::from_millis(job_takes_ms);
        let woken = looks.iter().map(|(micros, waiting, taken, done)| {
            let (waiting, taken, done) = (*waiting, *taken, *done);
            let seen = Observation { waiting, taken, done, job_takes, processors_are_busy };
            pacer.look(seen, start + Duration::from_micros(*micros))
        });
        assert_eq!(woken.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn slow_backends_get_ever_more_workers() {
        let looks = [(0, 9, 0, 0), (150, 9, 0, 0), (300, 9, 1, 0), (450, 9, 3, 1), (600, 9, 7, 2)];
        check(&looks, 50, false, &[0, 1, 2, 4, 5]);
        // A burst that ends before the load of the processors is known.
        check(&looks, 50, None, &[0, 1, 2, 4, 5]);
    }

    #[test]
    fn so_does_what_is_stuck_whatever_it_was_before() {
        let looks =
            [(0, 9, 7, 3), (10_000, 9, 7, 3), (20_100, 9, 7, 3), (20_300, 9, 8, 3), (20_500, 9, 10, 3)];
        check(&looks, 0, true, &[0, 0, 1, 2, 4]);
        let moves =
            [(0, 9, 7, 3), (10_000, 9, 7, 4), (20_100, 9, 7, 4), (20_300, 9, 8, 4), (21_000, 0, 17, 4)];
        check(&moves, 0, true, &[0, 0, 1, 1, 0]);
    }

    #[test]
    fn what_moves_gets_none() {
        check(&[(0, 5, 0, 0), (150, 5, 5, 1), (300, 4, 10, 6), (450, 0, 14, 9)], 50, false, &[0, 0, 0, 0]);
    }

    #[test]
    fn fast_backends_get_one_more_worker_at_a_time() {
        let looks = [(0, 9, 0, 0), (150, 9, 1, 1), (300, 9, 2, 2), (2000, 9, 3, 3), (2200, 9, 4, 4)];
        check(&looks, 1, false, &[0, 1, 0, 0, 1]);
    }

    #[test]
    fn with_busy_processors_only_what_waits_long_gets_one() {
        let looks = [
            (0, 9, 0, 0),
            (150, 9, 1, 1),
            (10_000, 20, 2, 2),
            (16_000, 20, 3, 3),
            (16_150, 30, 4, 4),
            (17_000, 9, 99, 9),
        ];
        check(&looks, 1, true, &[0, 0, 0, 1, 1, 0]);
        check(&looks, 1, None, &[0, 0, 0, 1, 1, 0]);
        check(&looks, 50, true, &[0, 0, 0, 1, 1, 0]);
    }
}
