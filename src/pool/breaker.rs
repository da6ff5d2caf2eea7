//! The circuit breaker of one backend: judges it by real traffic, as health checks do by probes.
//!
//! Closed, it counts failures; too many open it, and it admits nothing; after its cooldown it admits one
//! request as a trial, which closes or reopens it. A plain state machine: the lock around it is in
//! [`super::Backend`].

use std::collections::VecDeque;
use std::time::Instant;

use crate::config::BreakerConfig;

/// Counts how often the state has changed, so that a late result can't disturb a newer state.
pub type Generation = u64;

/// The states as shown in outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// No request passes.
    Open,
    /// A trial is in progress.
    HalfOpen,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

/// The breaker of one backend.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    generation: Generation,
    /// Failures since the last success.
    streak: u32,
    /// Times of the latest failures; at most as many as open the breaker.
    failures: VecDeque<Instant>,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker { state: State::Closed, generation: 0, streak: 0, failures: VecDeque::new() }
    }
}

impl Breaker {
    /// Whether a request may pass now.
    pub fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } => now >= until,
            State::HalfOpen => false,
        }
    }

    /// Lets a request pass; the first after the cooldown is the trial. `None` if none may pass.
    pub fn claim(&mut self, now: Instant) -> Option<Generation> {
        if !self.admits(now) {
            return None;
        }
        if !matches!(self.state, State::Closed) {
            self.enter(State::HalfOpen);
        }
        Some(self.generation)
    }

    /// Records a result; returns the new state if it has changed.
    pub fn record(
        &mut self,
        claimed: Generation,
        passed: bool,
        config: &BreakerConfig,
        now: Instant,
    ) -> Option<BreakerState> {
        if claimed != self.generation {
            return None;
        }
        match (&self.state, passed) {
            (State::Closed, true) => self.streak = 0,
            (State::Closed, false) => {
                self.count_failure(config, now);
                let trips = self.streak >= config.failures || self.failures.len() >= config.failures as usize;
                return trips.then(|| self.open(config, now));
            }
            (State::HalfOpen, true) => {
                self.enter(State::Closed);
                return Some(BreakerState::Closed);
            }
            (State::HalfOpen, false) => return Some(self.open(config, now)),
            (State::Open { .. }, _) => {}
        }
        None
    }

    /// A request that was let pass has ended without a result: if it was the trial, another may follow.
    pub fn abandon(&mut self, claimed: Generation, now: Instant) {
        if claimed == self.generation && matches!(self.state, State::HalfOpen) {
            self.enter(State::Open { until: now });
        }
    }

    /// Closes the breaker; returns whether it was not closed.
    pub fn reset(&mut self) -> bool {
        let was_closed = matches!(self.state, State::Closed);
        self.enter(State::Closed);
        !was_closed
    }

    /// The state now.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// When an open breaker admits a trial.
    pub fn opens_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            _ => None,
        }
    }

    /// Whether it is closed with no failure since the last success, so that another success changes nothing.
    pub fn is_clean(&self) -> bool {
        matches!(self.state, State::Closed) && self.streak == 0
    }

    fn count_failure(&mut self, config: &BreakerConfig, now: Instant) {
        self.streak = self.streak.saturating_add(1);
        self.failures.retain(|at| now.saturating_duration_since(*at) < config.window);
        if self.failures.len() < config.failures as usize {
            self.failures.push_back(now);
        }
    }

    fn open(&mut self, config: &BreakerConfig, now: Instant) -> BreakerState {
        self.enter(State::Open { until: now + config.cooldown });
        BreakerState::Open
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        self.streak = 0;
        self.failures.clear();
    }
}

impl BreakerState {
    /// The word in the metrics.
    pub fn word(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn config() -> BreakerConfig {
        BreakerConfig {
            failures: 3,
            window: Duration::from_secs(10),
            cooldown: Duration::from_secs(30),
            on_status: Vec::new(),
        }
    }

    fn at(start: Instant, second: u64) -> Instant {
        start + Duration::from_secs(second)
    }

    /// The state after these results, `pause` seconds apart: `-` failed, `+` passed.
    fn after(results: &str, pause: u64) -> BreakerState {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for (index, result) in results.chars().enumerate() {
            let now = at(start, index as u64 * pause);
            if let Some(generation) = breaker.claim(now) {
                breaker.record(generation, result == '+', &config(), now);
            }
        }
        breaker.state()
    }

    #[test]
    fn failures_in_a_row_open_it_however_long_they_take() {
        assert_eq!(after("--", 60), BreakerState::Closed);
        assert_eq!(after("---", 60), BreakerState::Open);
        assert_eq!(after("--+--+--", 60), BreakerState::Closed);
    }

    #[test]
    fn failures_within_the_window_open_it_whatever_is_between_them() {
        assert_eq!(after("-+-+-", 1), BreakerState::Open);
        assert_eq!(after("-+-+-+-+-", 9), BreakerState::Closed);
    }

    #[test]
    fn one_trial_after_the_cooldown_decides() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            let generation = breaker.claim(start).unwrap();
            breaker.record(generation, false, &config(), start);
        }
        assert!(!breaker.admits(at(start, 29)));
        let trial = breaker.claim(at(start, 30)).unwrap();
        assert!(breaker.claim(at(start, 30)).is_none(), "one trial at a time");
        assert_eq!(breaker.record(trial, false, &config(), at(start, 31)), Some(BreakerState::Open));
        let trial = breaker.claim(at(start, 61)).unwrap();
        breaker.abandon(trial, at(start, 61));
        let trial = breaker.claim(at(start, 61)).expect("another trial");
        assert_eq!(breaker.record(trial, true, &config(), at(start, 62)), Some(BreakerState::Closed));
    }

    #[test]
    fn a_late_result_does_not_disturb_a_newer_state() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let early = breaker.claim(start).unwrap();
        for _ in 0..3 {
            let generation = breaker.claim(start).unwrap();
            breaker.record(generation, false, &config(), start);
        }
        assert_eq!(breaker.record(early, true, &config(), start), None);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    proptest! {
        #[test]
        fn never_more_than_one_trial_and_never_shut_for_ever(steps: Vec<(bool, u8)>) {
            let (mut breaker, mut now) = (Breaker::default(), Instant::now());
            for (passed, seconds) in steps {
                now += Duration::from_secs(u64::from(seconds));
                if let Some(generation) = breaker.claim(now) {
                    if breaker.state() == BreakerState::HalfOpen {
                        prop_assert!(!breaker.admits(now));
                    }
                    breaker.record(generation, passed, &config(), now);
                }
                prop_assert!(breaker.admits(now + config().cooldown));
            }
        }
    }
}
