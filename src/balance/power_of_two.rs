//! `power_of_two`: of two distinct random candidates, the one with the lower load wins. Load is active
//! requests times recent latency; a higher weight makes a candidate be drawn more often and its load count
//! less.
//!
//! Differences in latency and in active requests are mostly noise. If noise decided, one of two equal
//! backends would get nearly all requests for as long as the noise lasts. So differences only count if they
//! exceed what noise can explain; otherwise the one of the two that is further below its share wins, where
//! shares follow the weights.

use parking_lot::Mutex;

use crate::pool::backend::FULL_SHARE;
use crate::pool::{Backend, Balancer, Candidate, ClientKey};

/// Remembers how far each backend is below its share; otherwise see Mitzenmacher, "The Power of Two Choices
/// in Randomized Load Balancing" (2001).
#[derive(Default)]
pub struct PowerOfTwo(Owed);

/// Recent latencies within this factor of each other count as equal. With few answers the factor is larger,
/// see [`FEW`]. Simulated with latencies that vary tenfold at random, with and without outliers of fifty
/// times as much: fewer than one in a hundred runs of 200 requests deviate by ten percentage points.
const SAME: f64 = 3.0;
/// With n answers, the factor is [`SAME`] to the power of 1 + `FEW` / n: the fifth power for one answer, the
/// third for two.
const FEW: f64 = 4.0;
/// Latencies below this count as equal: the rest is the scheduler's doing.
const FAST_US: f64 = 1000.0;
/// How many standard deviations above its expected number of active requests a backend must be to count as
/// busier.
const DEVIATIONS: f64 = 1.5;
/// One request in this many goes to the first candidate drawn, regardless of load. Otherwise a backend that
/// was slow once would get no requests while others are faster, and could never show that it is fast again.
const BLIND: u32 = 64;

impl Balancer for PowerOfTwo {
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize {
        let total: u64 = candidates.iter().map(|candidate| u64::from(candidate.share)).sum();
        if candidates.len() == 1 || total == 0 {
            return 0;
        }
        let one = draw(candidates, total, None);
        let pair = match fastrand::u32(..BLIND) {
            0 => (one, one),
            _ => (one, draw(candidates, total, Some(one))),
        };
        self.0.settle(candidates, total, client.is_retry, |owed| choose(candidates, pair, owed))
    }
}

/// Draws a random candidate other than `not`, with probabilities by share.
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

/// The less loaded of the two; if that is not clear, the one that is owed more.
fn choose(candidates: &[Candidate<'_>], (one, other): (usize, usize), owed: &[i64]) -> usize {
    let (first, second) = (&candidates[one], &candidates[other]);
    let other_wins = if latencies_differ(first.backend, second.backend) {
        load(second) < load(first)
    } else if is_clearly_busier(first, second) {
        true
    } else if is_clearly_busier(second, first) {
        false
    } else {
        owed[second.place] > owed[first.place]
    };
    if other_wins { other } else { one }
}

/// Whether latencies differ by more than noise. Before its first answer a backend does not differ from any
/// other, so that it gets tried.
fn latencies_differ(one: &Backend, other: &Backend) -> bool {
    let answers = one.answers().min(other.answers());
    if answers == 0 {
        return false;
    }
    let (one, other) = (latency_us(one), latency_us(other));
    let same = SAME.powf(1.0 + FEW / f64::from(answers));
    one > other * same || other > one * same
}

fn latency_us(backend: &Backend) -> f64 {
    backend.recent_latency_us().max(FAST_US)
}

/// Whether `one` has clearly more of both's active requests than its share: more than the standard deviation
/// of a binomial distribution explains.
fn is_clearly_busier(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let (active, share) = (f64::from(one.backend.active()), f64::from(one.share));
    let (both, part) = (active + f64::from(other.backend.active()), share / (share + f64::from(other.share)));
    active - both * part > 1.0 + DEVIATIONS * (both * part * (1.0 - part)).sqrt()
}

fn load(candidate: &Candidate<'_>) -> f64 {
    let active = f64::from(candidate.backend.active()) * f64::from(FULL_SHARE) / f64::from(candidate.share);
    (active + 1.0) * latency_us(candidate.backend)
}

/// How far each backend is below its share, by place; one request counts as much as the sum of all shares.
/// Limited to [`MOST_OWED`] requests either way: a backend that was slow or away gets its share from then on,
/// without catching up.
#[derive(Default)]
struct Owed(Mutex<Vec<i64>>);

/// See [`Owed`].
const MOST_OWED: i64 = 2;

impl Owed {
    /// Calls `choose` with the debts and records its choice; a retry is not recorded. Takes the lock.
    fn settle(
        &self,
        candidates: &[Candidate<'_>],
        total: u64,
        is_retry: bool,
        choose: impl FnOnce(&[i64]) -> usize,
    ) -> usize {
        let mut owed = self.0.lock();
        let last_place = candidates.iter().map(|candidate| candidate.place).max().unwrap_or(0);
        if owed.len() <= last_place {
            owed.resize(last_place + 1, 0);
        }
        let chosen = choose(&owed);
        if is_retry {
            return chosen;
        }
        let total = total as i64;
        for (index, candidate) in candidates.iter().enumerate() {
            let taken = if index == chosen { total } else { 0 };
            let due = &mut owed[candidate.place];
            *due = (*due + i64::from(candidate.share) - taken).clamp(-MOST_OWED * total, MOST_OWED * total);
        }
        chosen
    }
}

#[cfg(test)]
mod tests;
