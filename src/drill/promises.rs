//! The promises, and checks of whether a scenario's results keep them. Pure.

use std::fmt;
use std::time::Duration;

use super::load::{MAX_EXAMPLES, Tally};
use super::plan::Plan;

/// Results that only the script knows.
#[derive(Debug, Default)]
pub struct Played {
    /// How long it took until the backend got requests again.
    pub recovery: Option<Duration>,
    /// Number of requests that met the failure, if backends can count them.
    pub misbehaved: Option<u64>,
    /// Number of POSTs that met the failure.
    pub misbehaved_posts: Option<u64>,
    /// POSTs that reached backends more than once; known once all requests have ended.
    pub posts_sent_twice: Vec<String>,
    /// What did not go as promised.
    pub problem: Option<String>,
    /// Details of what did.
    pub detail: String,
}

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Every GET and PUT got its answer.
    NoneLost,
    /// GETs and PUTs without a good answer are only those whose answer had begun to arrive.
    NoneLostButCut,
    /// No POST was sent to a backend twice.
    NoPostTwice,
    /// Every broken-off answer is recognizable as such by any client.
    CutsShow,
    /// Requests without a backend are refused with a reason.
    RefusedWithReason,
    /// The backend soon gets requests again after its failure.
    Recovers,
    /// Each new configuration took effect.
    Reloads,
    /// The account of the drain shows no request cut off.
    DrainAccount,
}

/// The result of checking a promise.
#[derive(Debug)]
pub struct Verdict {
    /// The promise, in words.
    pub promise: String,
    /// The number of requests that tested it, if that can be counted.
    pub requests: Option<u64>,
    /// Text after "kept".
    pub detail: String,
    /// Why it does not count as kept; `None` if it does.
    pub problem: Option<Problem>,
    /// The first few requests that show the problem.
    pub examples: Vec<String>,
}

/// Why a promise does not count as kept.
#[derive(Debug)]
pub enum Problem {
    /// The promise was broken; with how often.
    Broken(String),
    /// No request met the failure, so nothing is proved.
    NotTried(&'static str),
}

impl Promise {
    /// Checks the promise.
    pub fn check(self, tally: &Tally, played: &Played, plan: &Plan) -> Verdict {
        let promise = self.words(plan);
        let (requests, problem) = match self {
            Promise::NoneLost => {
                let lost = tally.lost + tally.cut_idempotent;
                (Some(tally.idempotent), lost_of(lost, tally))
            }
            Promise::NoneLostButCut => (Some(tally.idempotent), lost_of(tally.lost, tally)),
            Promise::NoPostTwice => {
                let twice = played.posts_sent_twice.len();
                let problem = (twice > 0).then(|| Problem::Broken(format!("{twice} of {}", tally.posts)));
                (Some(tally.posts), problem)
            }
            Promise::CutsShow => (Some(tally.cut), cuts(tally)),
            Promise::RefusedWithReason => (Some(tally.refused + tally.unexplained), refusals(tally)),
            Promise::Recovers => (None, played.recovery.is_none().then(|| broken("it did not"))),
            Promise::Reloads => (None, played.problem.as_deref().map(broken)),
            Promise::DrainAccount => (Some(tally.good), played.problem.as_deref().map(broken)),
        };
        let met = if self == Promise::NoPostTwice { played.misbehaved_posts } else { played.misbehaved };
        let untried = (met == Some(0)).then_some(Problem::NotTried("no request met the failure"));
        let problem = problem.or(untried);
        let examples = match (self, &problem) {
            (_, None) => Vec::new(),
            (Promise::NoPostTwice, _) => played.posts_sent_twice.iter().take(MAX_EXAMPLES).cloned().collect(),
            _ => tally.examples.clone(),
        };
        Verdict { promise, requests, detail: self.detail(played), problem, examples }
    }

    fn words(self, plan: &Plan) -> String {
        match self {
            Promise::NoneLost => "no idempotent request is lost".to_owned(),
            Promise::NoneLostButCut => "none is lost whose answer had not begun".to_owned(),
            Promise::NoPostTwice => "no POST is sent twice".to_owned(),
            Promise::CutsShow => "no cut answer looks whole".to_owned(),
            Promise::RefusedWithReason => "each request is refused with a reason".to_owned(),
            Promise::Recovers => format!("requests again within {:.1} s", plan.recovery().as_secs_f64()),
            Promise::Reloads => "each reload takes effect".to_owned(),
            Promise::DrainAccount => "the account has cut=0, exit status 0".to_owned(),
        }
    }

    fn detail(self, played: &Played) -> String {
        match (self, played.recovery) {
            (Promise::Recovers, Some(time)) => format!(" ({:.1} s)", time.as_secs_f64()),
            (Promise::DrainAccount | Promise::Reloads, _) => format!(" ({})", played.detail),
            _ => String::new(),
        }
    }
}

fn broken(how: &str) -> Problem {
    Problem::Broken(how.to_owned())
}

fn lost_of(lost: u64, tally: &Tally) -> Option<Problem> {
    (lost > 0).then(|| Problem::Broken(format!("{lost} of {}", tally.idempotent)))
}

fn cuts(tally: &Tally) -> Option<Problem> {
    match (tally.false_wholes, tally.cut) {
        (0, 0) => Some(Problem::NotTried("no answer was cut")),
        (0, _) => None,
        (count, cut) => Some(Problem::Broken(format!("{count} of {}", count + cut))),
    }
}

fn refusals(tally: &Tally) -> Option<Problem> {
    match (tally.unexplained, tally.refused) {
        (0, 0) => Some(Problem::NotTried("nothing was refused")),
        (0, _) => None,
        (count, refused) => Some(Problem::Broken(format!("{count} of {}", count + refused))),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Broken(how) => write!(f, "BROKEN: {how}"),
            Problem::NotTried(why) => write!(f, "NOT TRIED: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn check(promise: Promise, tally: &Tally, played: &Played, problem: Option<&str>) {
        let plan = Plan::new(&parse("{}", &Overrides::default()).unwrap());
        let found = promise.check(tally, played, &plan).problem;
        match (found.map(|found| found.to_string()), problem) {
            (None, None) => {}
            (Some(found), Some(part)) => assert!(found.contains(part), "{promise:?}: {found}"),
            (found, problem) => panic!("{promise:?}: {found:?} for {problem:?}"),
        }
    }

    #[test]
    fn each_promise_can_be_broken() {
        let played = Played { misbehaved: Some(5), ..Played::default() };
        let good = Tally { idempotent: 9, posts: 4, cut: 2, refused: 3, ..Tally::default() };
        let lost = Tally { lost: 2, ..Tally { idempotent: 9, ..Tally::default() } };
        check(Promise::NoneLost, &good, &played, None);
        check(Promise::NoneLost, &lost, &played, Some("2 of 9"));
        check(Promise::NoneLost, &Tally { cut_idempotent: 1, ..Tally::default() }, &played, Some("1 of 0"));
        check(Promise::NoneLostButCut, &Tally { cut_idempotent: 1, ..Tally::default() }, &played, None);
        check(Promise::NoPostTwice, &good, &played, None);
        let twice = Played { posts_sent_twice: vec!["drill-4 2 times".into()], ..Played::default() };
        check(Promise::NoPostTwice, &good, &twice, Some("1 of 4"));
        check(Promise::CutsShow, &good, &played, None);
        check(Promise::CutsShow, &Tally::default(), &played, Some("NOT TRIED"));
        check(Promise::CutsShow, &Tally { cut: 2, false_wholes: 1, ..Tally::default() }, &played, Some("1"));
        check(Promise::RefusedWithReason, &good, &played, None);
        check(Promise::RefusedWithReason, &Tally { unexplained: 7, ..Tally::default() }, &played, Some("7"));
        check(Promise::Recovers, &good, &played, Some("did not"));
        let broken = Played { problem: Some("cut=3".into()), ..Played::default() };
        check(Promise::DrainAccount, &good, &broken, Some("cut=3"));
        check(Promise::Reloads, &good, &played, None);
    }

    #[test]
    fn a_scenario_in_which_nothing_failed_proves_nothing() {
        let idle = Played { misbehaved: Some(0), ..Played::default() };
        check(Promise::NoneLost, &Tally::default(), &idle, Some("NOT TRIED"));
        check(Promise::NoneLost, &Tally::default(), &Played::default(), None);
    }
}
