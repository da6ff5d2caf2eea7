//! Parses the rest of a line after the status: bytes, referer and agent, and then custom fields. Two of the
//! latter are useful and can be recognized.
//!
//! - nginx's times: seconds with exactly three decimals (`$gzip_ratio` has two, an address has more points).
//!   `$upstream_response_time` has one for each attempt, `0.100, 0.200 : 0.050`, and they add up;
//!   `$request_time` includes all of them, so of several times the largest is the request's.
//! - `X-Forwarded-For`: a quoted word after the agent that consists only of addresses.

use std::net::IpAddr;
use std::time::Duration;

use super::values::{closing_quote, latency_in};

/// Number of quoted words that a client can fill with any text: referer and agent.
const CLIENTS_OWN: usize = 2;
/// Number of decimals in nginx's seconds.
const DECIMALS: usize = 3;

/// See the module.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tail<'a> {
    /// The request's latency.
    pub latency: Option<Duration>,
    /// Traefik's duration.
    pub traefiks: Option<Duration>,
    /// Whether there is a second time besides the request's own, which shows that a backend was asked.
    pub tells_of_backend: bool,
    /// Traefik's backend: the last quoted word, a URL.
    pub backend: Option<&'a str>,
    /// The value of `X-Forwarded-For`.
    pub forwarded: Option<&'a str>,
}

impl<'a> Tail<'a> {
    pub fn read(mut rest: &'a str) -> Tail<'a> {
        let (mut tail, mut times, mut quoted) = (Tail::default(), Times::default(), 0);
        while let Some((word, is_quoted, after)) = next_word(rest) {
            rest = after;
            if !is_quoted {
                match milliseconds(word).filter(|_| tail.backend.is_some()) {
                    // The logged time is that of the beginning; the end is later by this duration.
                    Some(time) => tail.traefiks = Some(time),
                    None => times.take(word),
                }
                continue;
            }
            quoted += 1;
            times.is_open = false;
            if quoted <= CLIENTS_OWN {
                continue;
            }
            if word.starts_with("http://") || word.starts_with("https://") {
                tail.backend = Some(word);
            }
            if is_list_of_addresses(word) {
                tail.forwarded = Some(word);
            }
            word.split_whitespace().for_each(|word| times.take(word));
            times.is_open = false;
        }
        tail.latency = times.sums.iter().max().copied();
        tail.tells_of_backend = times.sums.len() > 1;
        tail
    }
}

/// Traefik's format of durations, such as `12ms`.
fn milliseconds(word: &str) -> Option<Duration> {
    word.strip_suffix("ms")?.parse().ok().map(Duration::from_millis)
}

/// The next word, or the text in the next pair of quotes; and the text after it.
fn next_word(text: &str) -> Option<(&str, bool, &str)> {
    let text = text.trim_start_matches(' ');
    if let Some(inner) = text.strip_prefix('"')
        && let Some(end) = closing_quote(inner)
    {
        return Some((&inner[..end], true, &inner[end + 1..]));
    }
    let end = text.find(' ').unwrap_or(text.len());
    (!text.is_empty()).then(|| (&text[..end], false, &text[end..]))
}

/// The times found so far, with those of one list added up.
#[derive(Default)]
struct Times {
    sums: Vec<Duration>,
    /// Whether the current list continues.
    is_open: bool,
}

impl Times {
    fn take(&mut self, word: &str) {
        if word == ":" {
            self.is_open = !self.sums.is_empty();
            return;
        }
        let bare = word.strip_suffix(',').unwrap_or(word);
        // Also accepts `rt=0.250` and `urt="0.250"`.
        let value = bare.rsplit('=').next().unwrap_or(bare).trim_matches('"');
        match (seconds(value), self.sums.last_mut()) {
            (Some(time), Some(sum)) if self.is_open => *sum = sum.saturating_add(time),
            (Some(time), _) => self.sums.push(time),
            // An attempt without a time, in a list.
            (None, _) if value == "-" && self.is_open => {}
            _ => return self.is_open = false,
        }
        self.is_open = word.ends_with(',');
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.')?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = is_digits(whole) && is_digits(decimals) && decimals.len() == DECIMALS;
    // A number too large for a latency is something else (`$msec`).
    latency_in(text, 1.0).ok().filter(|_| is_time)
}

fn is_list_of_addresses(text: &str) -> bool {
    text.split(',').all(|member| member.trim().parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(text: &str) -> Option<u128> {
        Tail::read(&format!("2326 \"http://x/ 0.999\" \"Agent 9.999\" {text}"))
            .latency
            .map(|it| it.as_millis())
    }

    #[test]
    fn only_seconds_with_three_decimals_are_a_time() {
        for (text, ms) in [
            ("0.250", Some(250)),
            ("12.000", Some(12_000)),
            ("3.21", None),
            ("TLSv1.3", None),
            ("1.3", None),
            ("203.0.113.9", None),
            ("192.168.100", None),
            ("1795811220.285", None),
            ("1234", None),
            ("-", None),
            ("", None),
            ("1.2e3", None),
            ("0.250 2.34", Some(250)),
            ("0.250 TLSv1.3 203.0.113.9", Some(250)),
            ("rt=0.250", Some(250)),
            ("\"0.250\"", Some(250)),
        ] {
            assert_eq!(latency(text), ms, "{text:?}");
        }
    }

    #[test]
    fn several_attempts_add_up_and_the_request_s_own_time_has_them_all() {
        for (text, ms) in [
            ("0.100, 0.200", Some(300)),
            ("0.100, 0.200 : 0.050", Some(350)),
            ("0.100, -, 0.200", Some(300)),
            ("0.301 0.100, 0.200", Some(301)),
            ("0.301 0.001 0.100 0.300", Some(301)),
            ("0.100, 0.200 0.301", Some(301)),
            ("rt=0.301 urt=\"0.100, 0.200\"", Some(301)),
            ("\"0.100, 0.200\"", Some(300)),
            ("0.010 -", Some(10)),
            (": 0.010", Some(10)),
        ] {
            assert_eq!(latency(text), ms, "{text:?}");
        }
        assert!(Tail::read("5 \"-\" \"-\" 0.301 0.300").tells_of_backend);
        assert!(!Tail::read("5 \"-\" \"-\" 0.301 -").tells_of_backend);
    }

    #[test]
    fn forwarded_is_what_is_quoted_behind_the_agent_and_all_addresses() {
        for (text, forwarded) in [
            ("5 \"-\" \"curl\" \"203.0.113.9\"", Some("203.0.113.9")),
            ("5 \"-\" \"curl\" \"203.0.113.9, 2001:db8::1\" 0.250", Some("203.0.113.9, 2001:db8::1")),
            ("5 \"-\" \"curl\" \"-\"", None),
            ("5 \"-\" \"curl\" \"example.com\"", None),
            ("5 \"-\" \"203.0.113.9\"", None),
            ("5 \"203.0.113.9\" \"curl\"", None),
        ] {
            assert_eq!(Tail::read(text).forwarded, forwarded, "{text}");
        }
    }
}
