//! All reasons of refusals and broken-off answers, so that each counter exists from the start: a rate over a
//! counter that appears with its first event misses that event.

/// In alphabetical order.
pub const REASONS: [&str; 31] = [
    "ambiguous_framing",
    "auth_unavailable",
    "backend_broke_off",
    "backend_closed",
    "backend_not_http",
    "backend_timeout",
    "bad_host",
    "body_incomplete",
    "body_timeout",
    "body_too_large",
    "client_gone",
    "forbidden_address",
    "forbidden_proxy",
    "head_too_large",
    "header_timeout",
    "internal_error",
    "loop_detected",
    "malformed_request",
    "method_not_allowed",
    "no_healthy_backend",
    "no_route",
    "not_let_pass",
    "queue_full",
    "queue_timeout",
    "rate_limited",
    "redirected_to_tls",
    "route_answer",
    "too_many_connections",
    "too_many_logins",
    "too_many_streams",
    "unauthorized",
];

/// All reasons with their counts, followed by counts of any other reason.
pub(super) fn from_zero(counted: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
    let count = |word: &str| counted.iter().find(|(other, _)| *other == word).map_or(0, |(_, count)| *count);
    let known = REASONS.iter().map(|word| (*word, count(word)));
    let others = counted.iter().filter(|(word, _)| !REASONS.contains(word)).copied();
    known.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_once_and_none_is_lost() {
        assert!(REASONS.is_sorted_by(|one, other| one < other));
        let all = from_zero(&[("client_gone", 3), ("some_new_word", 2)]);
        assert_eq!(all.len(), REASONS.len() + 1);
        assert!(all.contains(&("client_gone", 3)) && all.contains(&("queue_full", 0)));
        assert_eq!(all.last(), Some(&("some_new_word", 2)));
    }
}
