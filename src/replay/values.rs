//! How formats write times, latencies, addresses and quoted text. Pure.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Longer than any request is: what is beyond it is no latency.
const MAX_LATENCY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(super) fn since_1970(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_rfc3339(text).map_err(|_| "no time in RFC 3339")?;
    time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| "a time before 1970")
}

/// `text` in parts of which a second has so many.
pub(super) fn latency_in(text: &str, parts: f64) -> Result<Duration, &'static str> {
    let number: f64 = text.parse().map_err(|_| "a latency that is no number")?;
    let latency = Duration::try_from_secs_f64(number / parts).map_err(|_| "a latency that can't be")?;
    if latency > MAX_LATENCY { Err("a latency of more than a week") } else { Ok(latency) }
}

pub(super) fn address(text: &str) -> Result<IpAddr, &'static str> {
    let address: IpAddr = text.parse().map_err(|_| "a client that is no address")?;
    Ok(address.to_canonical())
}

/// The first quote that no backslash stands before.
pub(super) fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}
