//! Decides whether a request may be retried. Pure.

use std::time::Duration;

use crate::config::RetryConfig;
use crate::transport::{AttemptError, Cause, Stage};

/// The facts about a request that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts {
    /// The method is idempotent (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// The body can be sent again from the start: there is none, or all bytes read so far are kept.
    pub replayable: bool,
    /// Attempts made so far.
    pub attempts: u32,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Retry after this time, on another backend if there is one.
    Retry {
        /// The time to wait before the retry.
        after: Duration,
    },
    /// Answer with the refusal for the error.
    GiveUp,
}

/// Decides after an error. Failing to connect is always retried: the backend has not seen the request. Once
/// part of it was sent, only a request that may be repeated is retried. Client errors are not retried, nor
/// are answers that we do not accept, since other backends would give the same.
pub fn decide(error: &AttemptError, request: RequestFacts, config: &RetryConfig) -> RetryDecision {
    let may_repeat = error.stage == Stage::Connect || request.idempotent || config.non_idempotent;
    let left = request.attempts <= config.max_retries;
    let may_help = !matches!(error.cause, Cause::Client | Cause::Unacceptable(_));
    if left && may_repeat && request.replayable && may_help {
        RetryDecision::Retry { after: config.delay }
    } else {
        RetryDecision::GiveUp
    }
}

/// Decides after an answer. A status in `on_status` counts as a failed attempt, which is retried only if the
/// request may be repeated; otherwise the answer is passed on.
pub fn decide_status(status: u16, request: RequestFacts, config: &RetryConfig) -> RetryDecision {
    let may_repeat = request.idempotent || config.non_idempotent;
    let left = request.attempts <= config.max_retries;
    if config.on_status.contains(&status) && left && may_repeat && request.replayable {
        RetryDecision::Retry { after: config.delay }
    } else {
        RetryDecision::GiveUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(non_idempotent: bool) -> RetryConfig {
        RetryConfig {
            max_retries: 2,
            delay: Duration::from_millis(50),
            on_status: Vec::new(),
            non_idempotent,
            buffer_body_bytes: 65536,
            budget_percent: 20,
        }
    }

    fn retried(stage: Stage, cause: Cause, request: RequestFacts, config: &RetryConfig) -> bool {
        decide(&AttemptError { stage, cause, reused: false }, request, config) != RetryDecision::GiveUp
    }

    const GET: RequestFacts = RequestFacts { idempotent: true, replayable: true, attempts: 1 };
    const POST: RequestFacts = RequestFacts { idempotent: false, ..GET };

    #[test]
    fn a_failure_to_connect_is_always_retried() {
        assert!(retried(Stage::Connect, Cause::Refused, GET, &config(false)));
        assert!(retried(Stage::Connect, Cause::TimedOut, POST, &config(false)));
    }

    #[test]
    fn after_sending_only_what_may_arrive_twice() {
        for stage in [Stage::SendHead, Stage::SendBody, Stage::AwaitHead] {
            assert!(retried(stage, Cause::Closed, GET, &config(false)));
            assert!(!retried(stage, Cause::Closed, POST, &config(false)));
            assert!(retried(stage, Cause::Closed, POST, &config(true)));
        }
    }

    #[test]
    fn a_body_that_is_not_kept_is_not_sent_twice() {
        let large = RequestFacts { replayable: false, ..GET };
        assert!(!retried(Stage::SendBody, Cause::Closed, large, &config(true)));
    }

    #[test]
    fn the_client_s_fault_is_not_retried() {
        assert!(!retried(Stage::SendBody, Cause::Client, GET, &config(true)));
    }

    #[test]
    fn an_answer_that_is_not_taken_is_not_asked_for_again() {
        assert!(!retried(Stage::AwaitHead, Cause::Unacceptable("x".into()), GET, &config(false)));
    }

    #[test]
    fn max_retries_counts_attempts_after_the_first() {
        for (attempts, more) in [(1, true), (2, true), (3, false)] {
            assert_eq!(
                retried(Stage::Connect, Cause::Refused, RequestFacts { attempts, ..GET }, &config(false)),
                more
            );
        }
    }

    #[test]
    fn a_status_is_retried_where_that_is_asked_for_and_harmless() {
        let config = RetryConfig { on_status: vec![502, 503], ..config(false) };
        let retried = |status, request| decide_status(status, request, &config) != RetryDecision::GiveUp;
        assert!(retried(503, GET));
        assert!(!retried(500, GET));
        assert!(!retried(503, POST));
        assert!(!retried(503, RequestFacts { attempts: 3, ..GET }));
        assert!(!retried(503, RequestFacts { replayable: false, ..GET }));
    }
}
