//! How long a backend keeps idle connections open, as it announces in `Keep-Alive` and as observed. A request
//! sent just as the backend closes an idle connection may be lost and cannot always be sent again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many closes after similar idle times show a fixed idle timeout, rather than a restart or a limit of
/// requests a connection ...
const ALIKE: usize = 3;
/// ... among the last so many closes ...
const SAMPLES: usize = 4;
/// ... where the longest of the similar times is at most this many times the shortest.
const SPREAD: f64 = 1.25;
/// The fraction of the observed time that is used.
const USED: f64 = 0.8;
/// Closes after a shorter idle time are ignored: they do not come from an idle timeout.
const SHORTEST: Duration = Duration::from_millis(300);
/// Observations are dropped after this time, since the backend may have been reconfigured.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Subtracted from the announced time.
const LESS: Duration = Duration::from_secs(1);

/// Where the idle limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleSource {
    /// `timeouts.backend_idle`
    Configured,
    /// `Keep-Alive: timeout=` in an answer
    Announced,
    /// Seen when the backend closed idle connections.
    Observed,
}

impl IdleSource {
    /// The word shown in outputs.
    pub fn word(self) -> &'static str {
        match self {
            IdleSource::Configured => "configured",
            IdleSource::Announced => "announced",
            IdleSource::Observed => "observed",
        }
    }
}

/// What is known of one backend's idle timeout.
#[derive(Debug, Default)]
pub struct IdleTime {
    /// In milliseconds; 0 if nothing was announced.
    announced: AtomicU64,
    /// In milliseconds; 0 if nothing was learned.
    observed: AtomicU64,
    closes: Mutex<Closes>,
}

#[derive(Debug, Default)]
struct Closes {
    /// Idle times of the connections that the backend closed last.
    ages: Vec<Duration>,
    learned: Option<Instant>,
}

impl IdleTime {
    /// How long a connection may stay idle, at most `configured`, and where that limit comes from.
    pub fn limit(&self, configured: Duration) -> (Duration, IdleSource) {
        let known = |millis: &AtomicU64, source| {
            let millis = millis.load(Relaxed);
            (millis > 0).then(|| (Duration::from_millis(millis), source))
        };
        let all =
            [known(&self.observed, IdleSource::Observed), known(&self.announced, IdleSource::Announced)];
        let shorter = all.into_iter().flatten().filter(|(time, _)| *time < configured);
        shorter.min_by_key(|(time, _)| *time).unwrap_or((configured, IdleSource::Configured))
    }

    /// Notes the value of a `Keep-Alive` field in an answer (RFC 2068 section 19.7.1; servers write
    /// `timeout=5, max=100`).
    pub fn announced(&self, value: &[u8]) {
        let Some(seconds) = timeout_in(value) else { return };
        let time = Duration::from_secs(seconds.into());
        let used = time.saturating_sub(LESS).max(time / 2);
        self.announced.store(u64::try_from(used.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Notes that the backend has closed a connection after this idle time. Takes a lock.
    pub fn closed_after(&self, age: Duration, now: Instant) {
        if age < SHORTEST {
            return;
        }
        let mut closes = self.closes.lock();
        if closes.ages.len() == SAMPLES {
            closes.ages.remove(0);
        }
        closes.ages.push(age);
        if let Some(time) = agreed(&closes.ages) {
            closes.learned = Some(now);
            self.observed.store(u64::try_from(time.mul_f64(USED).as_millis()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    /// Drops old observations. Takes a lock if there are any.
    pub fn look(&self, now: Instant) {
        if self.observed.load(Relaxed) == 0 {
            return;
        }
        let mut closes = self.closes.lock();
        if closes.learned.is_none_or(|learned| now.saturating_duration_since(learned) >= REMEMBERED) {
            *closes = Closes::default();
            self.observed.store(0, Relaxed);
        }
    }
}

/// The shortest of the first [`ALIKE`] similar ages; `None` if there are not as many.
fn agreed(ages: &[Duration]) -> Option<Duration> {
    let mut sorted = ages.to_vec();
    sorted.sort();
    let alike = sorted.windows(ALIKE).find(|some| some[ALIKE - 1] <= some[0].mul_f64(SPREAD));
    alike.map(|some| some[0])
}

/// The seconds in `timeout=5, max=100`; `None` if missing, unreadable or 0.
fn timeout_in(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parameters = text.split([',', ';']).map(str::trim);
    let seconds = parameters.find_map(|it| {
        let (name, value) = it.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(value.trim().trim_matches('"'))
    });
    seconds?.parse().ok().filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Duration = Duration::from_secs(60);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_announced_holds_less_a_second_and_never_beyond_what_is_configured() {
        for (value, expected) in [
            ("timeout=5", ms(4000)),
            ("timeout=5, max=100", ms(4000)),
            ("max=7, Timeout = 20", ms(19_000)),
            ("timeout=1", ms(500)),
            ("timeout=120", CONFIGURED),
            ("timeout=0", CONFIGURED),
            ("timeout=soon", CONFIGURED),
            ("5", CONFIGURED),
        ] {
            let idle = IdleTime::default();
            idle.announced(value.as_bytes());
            assert_eq!(idle.limit(CONFIGURED).0, expected, "{value}");
        }
        let idle = IdleTime::default();
        idle.announced(b"timeout=5");
        assert_eq!(idle.limit(CONFIGURED).1, IdleSource::Announced);
        assert_eq!(idle.limit(ms(100)), (ms(100), IdleSource::Configured));
    }

    #[test]
    fn a_time_is_learned_from_closes_that_are_alike_and_forgotten() {
        let (idle, now) = (IdleTime::default(), Instant::now());
        for age in [9000, 2100, 5000, 2000] {
            idle.closed_after(ms(age), now);
            assert_eq!(idle.limit(CONFIGURED).1, IdleSource::Configured, "{age}");
        }
        idle.closed_after(ms(2200), now);
        assert_eq!(idle.limit(CONFIGURED), (ms(1600), IdleSource::Observed));
        idle.look(now + REMEMBERED / 2);
        assert_eq!(idle.limit(CONFIGURED).1, IdleSource::Observed);
        idle.look(now + REMEMBERED);
        assert_eq!(idle.limit(CONFIGURED).1, IdleSource::Configured);
        for _ in 0..9 {
            idle.closed_after(ms(5), now);
        }
        assert_eq!(idle.limit(CONFIGURED).1, IdleSource::Configured, "those had just answered");
    }
}
