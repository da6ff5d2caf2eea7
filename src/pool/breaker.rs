//! The circuit breaker of one backend: real traffic's verdict, beside the probes'.
//!
//! Closed, it counts failures; after too many it is open and takes nothing; when its cooldown is over
//! one request goes through as a trial, which closes it or opens it again. A plain state machine: the
//! lock is around it, in [`super::Backend`].

use std::collections::VecDeque;
use std::time::Instant;

use crate::config::BreakerConfig;

/// Counts how often the state has changed, so that a late result can't disturb a newer state.
pub type Generation = u64;

/// The states, as people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// None passes.
    Open,
    /// One has passed as a trial.
    HalfOpen,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

/// One backend's.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    generation: Generation,
    /// Failures without a success between them.
    streak: u32,
    /// When the latest failures were; as many as it takes at most.
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

    /// Lets a request pass; open and cooled down, it is the trial. `None` where it may not.
    pub fn claim(&mut self, now: Instant) -> Option<Generation> {
        if !self.admits(now) {
            return None;
        }
        if !matches!(self.state, State::Closed) {
            self.enter(State::HalfOpen);
        }
        Some(self.generation)
    }

    /// Takes a result in; says what the new state is where it has changed.
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

    /// A request that had passed has ended without a result: another one may be the trial.
    pub fn abandon(&mut self, claimed: Generation, now: Instant) {
        if claimed == self.generation && matches!(self.state, State::HalfOpen) {
            self.enter(State::Open { until: now });
        }
    }

    /// Closes it, whatever it was; says whether it was not.
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

    /// When an open one will let a trial through.
    pub fn opens_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            _ => None,
        }
    }

    /// Whether it is closed and has no failure noted: then a success changes nothing.
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
    /// As in the metrics.
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

    /// `-` failed, `+` passed, one a second; the state at the end.
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
