//! Parses times, latencies, addresses and quoted text as written by several formats. Pure.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Upper limit for a latency; a larger number means something else.
const MAX_LATENCY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(super) fn since_1970(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_rfc3339(text).map_err(|_| "no time in RFC 3339")?;
    time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| "a time before 1970")
}

/// Parses a latency in units of 1/`parts` seconds.
pub(super) fn latency_in(text: &str, parts: f64) -> Result<Duration, &'static str> {
    let number: f64 = text.parse().map_err(|_| "a latency that is no number")?;
    let latency = Duration::try_from_secs_f64(number / parts).map_err(|_| "a latency that can't be")?;
    if latency > MAX_LATENCY { Err("a latency of more than a week") } else { Ok(latency) }
}

pub(super) fn address(text: &str) -> Result<IpAddr, &'static str> {
    let address: IpAddr = text.parse().map_err(|_| "a client that is no address")?;
    Ok(address.to_canonical())
}

/// Position of the first quote that is not escaped by a backslash.
pub(super) fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}
