//! `/lb-metrics?audit=1`: the laws that the figures obey. Each law compares figures that are counted
//! independently, and says whether it holds at this instant.
//!
//! The audit takes no lock over all figures, so they are read one after the other while requests go on. A
//! figure that may change in the meantime is read before and after, and the law requires the other side to
//! lie between the two. Since a reading may still fall into the middle of a step, it is repeated ([`TURNS`]):
//! a law that is really broken stays broken.

use serde_json::{Value, json};

use super::Snapshot;

/// How often the figures are read before a law counts as broken.
pub const TURNS: usize = 20;

/// One backend's figures.
#[derive(Debug, Clone, Default)]
pub struct BackendFigures {
    /// The backend's URL.
    pub name: String,
    /// Attempts.
    pub requests: u64,
    /// Failed attempts.
    pub failures: u64,
    /// Attempts in progress.
    pub active: u64,
}

/// One reading of all figures.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Accepted requests, read before and after all other figures.
    pub accepted: (u64, u64),
    /// Ended requests, likewise.
    pub answered: (u64, u64),
    /// Requests in the list of those in flight, counted one by one.
    pub listed: u64,
    /// Requests waiting for a worker.
    pub queued: u64,
    /// Requests being handled: `active_requests`.
    pub handled: u64,
    /// Requests for the balancer's own endpoints.
    pub own_pages: u64,
    /// The counters of ended requests, read before and after.
    pub counted: (Snapshot, Snapshot),
    /// Recorded latencies of proxied requests.
    pub latencies: u64,
    /// The figures of all backends.
    pub backends: Vec<BackendFigures>,
    /// Whether these are all backends there ever were, none having left with a reload.
    pub are_all_backends: bool,
}

/// A law, its formula with the figures, and whether it holds; `None` if that can't be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Law {
    /// The law in words.
    pub law: &'static str,
    /// The formula with figures.
    pub says: String,
    /// Whether it holds.
    pub holds: Option<bool>,
}

/// Checks all laws with these figures.
pub fn laws(reading: &Reading) -> Vec<Law> {
    let (before, after) = (&reading.counted.0, &reading.counted.1);
    let proxied = (before.success + before.failed, after.success + after.failed);
    let attempts: u64 = reading.backends.iter().map(|backend| backend.requests).sum();
    let active: u64 = reading.backends.iter().map(|backend| backend.active).sum();
    let in_flight =
        (reading.accepted.0.saturating_sub(reading.answered.1), reading.accepted.1 - reading.answered.0);
    let of_failures = after.reasons.iter().filter(|(word, _)| *word != "rate_limited");
    let reasons: u64 = of_failures.map(|(_, count)| count).sum();
    let limited = |snapshot: &Snapshot| {
        let found = snapshot.reasons.iter().find(|(word, _)| *word == "rate_limited");
        found.map_or(0, |(_, count)| *count)
    };
    let worst = reading.backends.iter().find(|backend| backend.failures + backend.active > backend.requests);
    vec![
        between(
            "what was accepted and not answered is in the list of requests in flight",
            "accepted - answered = in flight",
            in_flight,
            reading.listed,
        ),
        between(
            "each proxied request, a success or a failure, has one latency",
            "success + failed = latencies",
            proxied,
            reading.latencies,
        ),
        Law {
            law: "each failure has a reason",
            says: format!("{} failed <= {reasons} reasons", before.failed),
            holds: Some(before.failed <= reasons),
        },
        between(
            "rate-limited requests are counted like every other reason",
            "rate_limited_requests = reasons.rate_limited",
            (before.rate_limited, after.rate_limited),
            limited(after),
        ),
        Law {
            law: "each success and each retry was an attempt on a backend",
            says: format!("{} success + {} retries <= {attempts} attempts", before.success, before.retries),
            holds: reading.are_all_backends.then_some(before.success + before.retries <= attempts),
        },
        Law {
            law: "backends have no more attempts under way than there are requests in flight",
            says: format!("{active} active <= {} in flight", in_flight.1),
            holds: Some(active <= in_flight.1),
        },
        between(
            "what is in flight waits for a worker, is handled, or is for a page like this one",
            "queued_requests + active_requests + own pages = in flight",
            in_flight,
            reading.queued + reading.handled + reading.own_pages,
        ),
        Law {
            law: "no backend has more failures and attempts under way than attempts",
            says: worst.map_or("all backends".to_owned(), |worst| {
                let BackendFigures { name, requests, failures, active } = worst;
                format!("{name}: {failures} failures + {active} active <= {requests} attempts")
            }),
            holds: Some(worst.is_none()),
        },
    ]
}

fn between(law: &'static str, formula: &str, (least, most): (u64, u64), found: u64) -> Law {
    let says = match least == most {
        true => format!("{formula}: {least} = {found}"),
        false => format!("{formula}: {found} lies in {least} to {most}"),
    };
    Law { law, says, holds: Some((least..=most).contains(&found)) }
}

/// Whether no law is broken.
pub fn hold(laws: &[Law]) -> bool {
    laws.iter().all(|law| law.holds != Some(false))
}

/// Reads the figures and checks the laws; repeats both after a pause while a law is broken, since a thread
/// may have been preempted in the middle of a step.
pub fn audit(read: impl Fn() -> Reading, pause: impl Fn()) -> Value {
    let mut found = laws(&read());
    for _ in 1..TURNS {
        if hold(&found) {
            break;
        }
        pause();
        found = laws(&read());
    }
    let all: Vec<Value> =
        found.iter().map(|law| json!({ "law": law.law, "says": law.says, "holds": law.holds })).collect();
    json!({ "holds": hold(&found), "laws": all })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The figures after this number of requests of each kind, all ended except `active` of them.
    fn reading(success: u64, failed: u64, limited: u64, retries: u64, active: u64) -> Reading {
        let mut reasons = vec![("backend_timeout", failed)];
        if limited > 0 {
            reasons.push(("rate_limited", limited));
        }
        let counted =
            Snapshot { success, failed, retries, rate_limited: limited, reasons, ..Snapshot::default() };
        let ended = success + failed + limited;
        Reading {
            accepted: (ended + active, ended + active),
            answered: (ended, ended),
            listed: active,
            handled: active,
            own_pages: 0,
            queued: 0,
            counted: (counted.clone(), counted),
            latencies: success + failed,
            backends: vec![BackendFigures {
                name: "http://a".into(),
                requests: success + failed + retries + active,
                failures: failed + retries,
                active,
            }],
            are_all_backends: true,
        }
    }

    proptest! {
        #[test]
        fn figures_that_are_right_obey_the_laws(s in 0u64..9999, f in 0u64..9999, l in 0u64..99, r in 0u64..99, a in 0u64..99) {
            prop_assert!(hold(&laws(&reading(s, f, l, r, a))));
        }

        /// A law covers each figure: a figure lost or counted twice breaks one.
        #[test]
        fn a_figure_that_is_wrong_breaks_one(s in 1u64..9999, f in 1u64..9999, l in 1u64..99, r in 1u64..99, a in 1u64..99) {
            let right = || reading(s, f, l, r, a);
            let broken = |change: fn(&mut Reading)| {
                let mut wrong = right();
                change(&mut wrong);
                !hold(&laws(&wrong))
            };
            prop_assert!(broken(|it| it.listed += 1));
            prop_assert!(broken(|it| it.listed -= 1));
            prop_assert!(broken(|it| (it.answered.0, it.answered.1) = (it.answered.0 + 1, it.answered.1 + 1)));
            prop_assert!(broken(|it| it.latencies += 1));
            prop_assert!(broken(|it| (it.counted.0.success, it.counted.1.success) = (it.counted.0.success + 1, it.counted.1.success + 1)));
            prop_assert!(broken(|it| it.counted.1.reasons[0].1 = 0));
            prop_assert!(broken(|it| it.counted.1.reasons[1].1 += 1));
            prop_assert!(broken(|it| it.queued += 1));
            prop_assert!(broken(|it| it.handled -= 1));
            prop_assert!(broken(|it| it.own_pages += 1));
            prop_assert!(broken(|it| it.backends[0].active = it.listed + 1));
            prop_assert!(broken(|it| it.backends[0].requests = 0));
            prop_assert!(broken(|it| it.backends[0].failures = it.backends[0].requests));
        }
    }

    #[test]
    fn what_left_with_a_reload_is_not_known() {
        let mut reading = reading(5, 0, 0, 0, 0);
        reading.are_all_backends = false;
        reading.backends.clear();
        let laws = laws(&reading);
        assert!(hold(&laws));
        assert_eq!(laws.iter().filter(|law| law.holds.is_none()).count(), 1);
    }

    #[test]
    fn a_step_under_way_is_looked_at_again() {
        let turn = std::cell::Cell::new(0);
        let read = || {
            turn.set(turn.get() + 1);
            let mut reading = reading(5, 0, 0, 0, 1);
            reading.listed += u64::from(turn.get() < 3);
            reading
        };
        let page = audit(read, || ());
        assert_eq!((&page["holds"], turn.get()), (&json!(true), 3));
    }
}
