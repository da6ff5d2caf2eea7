//! What is to be done with a connection that no worker has.

use std::time::Instant;

use super::GuardSettings;
use crate::frontend::entry::Entry;

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Leave,
    Close,
    Refuse(u16, &'static str),
}

/// Of an open connection on which so many bytes have come in.
pub(super) fn judge(
    entry: &mut Entry,
    received_bytes: u64,
    settings: &GuardSettings,
    draining: bool,
    now: Instant,
) -> Verdict {
    // After a request the mark is taken at the next tick: an older figure would make an idle
    // connection look like a slow head. So would this one, if the request has ended since the walk.
    if entry.mark.is_none() && entry.since > now {
        return Verdict::Leave;
    }
    let mark = *entry.mark.get_or_insert(received_bytes);
    let head_bytes = received_bytes.saturating_sub(mark);
    if head_bytes == 0 {
        let most =
            if draining { settings.client_idle.min(settings.drain_idle) } else { settings.client_idle };
        let too_long = now.saturating_duration_since(entry.since) >= most;
        return if too_long { Verdict::Close } else { Verdict::Leave };
    }
    if !entry.partial {
        entry.partial = true;
        entry.since = now;
    }
    if head_bytes > settings.max_header_bytes {
        Verdict::Refuse(431, "head_too_large")
    } else if now.saturating_duration_since(entry.since) >= settings.client_header {
        Verdict::Refuse(408, "header_timeout")
    } else {
        Verdict::Leave
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SETTINGS: GuardSettings = GuardSettings {
        client_header: Duration::from_secs(10),
        client_idle: Duration::from_secs(60),
        drain_idle: Duration::from_secs(1),
        client_body: Duration::from_secs(30),
        client_write: Duration::from_secs(30),
        max_header_bytes: 1000,
        max_connections: 10,
        max_connections_per_ip: None,
    };

    /// Ticks at these seconds with these bytes received, on a connection that is new at second 0.
    fn check(ticks: &[(u64, u64)], expected: Verdict) {
        let start = Instant::now();
        let mut entry = Entry { mark: Some(0), ..Entry::new(start) };
        let verdicts: Vec<_> = ticks
            .iter()
            .map(|(second, bytes)| {
                judge(&mut entry, *bytes, &SETTINGS, false, start + Duration::from_secs(*second))
            })
            .collect();
        let (last, before) = verdicts.split_last().unwrap();
        assert!(before.iter().all(|verdict| *verdict == Verdict::Leave), "{verdicts:?}");
        assert_eq!(*last, expected);
    }

    #[test]
    fn a_silent_connection_is_idle_and_a_started_head_is_timed_from_its_first_byte() {
        check(&[(1, 0), (59, 0)], Verdict::Leave);
        check(&[(1, 0), (60, 0)], Verdict::Close);
        check(&[(30, 0), (31, 1), (40, 9)], Verdict::Leave);
        check(&[(30, 0), (31, 1), (41, 9)], Verdict::Refuse(408, "header_timeout"));
    }

    #[test]
    fn a_head_may_not_grow_beyond_its_limit() {
        check(&[(1, 1000)], Verdict::Leave);
        check(&[(1, 1001)], Verdict::Refuse(431, "head_too_large"));
    }

    #[test]
    fn after_a_request_only_new_bytes_count() {
        let start = Instant::now();
        let mut entry = Entry::new(start);
        assert_eq!(judge(&mut entry, 500_000, &SETTINGS, false, start), Verdict::Leave);
        assert_eq!(judge(&mut entry, 500_001, &SETTINGS, true, start), Verdict::Leave, "a head is under way");
        assert!(entry.partial);
    }

    #[test]
    fn a_request_that_ended_after_the_walk_is_no_slow_head() {
        let walked = Instant::now();
        let mut entry = Entry::new(walked + Duration::from_millis(1));
        assert_eq!(judge(&mut entry, 0, &SETTINGS, false, walked), Verdict::Leave);
        let later = walked + SETTINGS.client_header + Duration::from_secs(1);
        assert_eq!(judge(&mut entry, 84, &SETTINGS, false, later), Verdict::Leave);
        assert_eq!((entry.mark, entry.partial), (Some(84), false));
    }

    #[test]
    fn a_drain_closes_what_has_been_idle_for_a_moment() {
        let start = Instant::now();
        let mut entry = Entry::new(start);
        assert_eq!(judge(&mut entry, 7, &SETTINGS, true, start), Verdict::Leave);
        assert_eq!(judge(&mut entry, 7, &SETTINGS, true, start + SETTINGS.drain_idle), Verdict::Close);
    }
}
