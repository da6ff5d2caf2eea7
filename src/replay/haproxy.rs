//! Parses HAProxy's httplog: `CLIENT:PORT [27/Nov/2026:20:17:56.846] FRONTEND BACKEND/SERVER TR/Tw/Tc/Tr/Ta
//! STATUS BYTES … "REQUEST"`, with or without syslog's prefix. The time is that of the request's beginning,
//! in local time without an offset; it is read as UTC.

use std::borrow::Cow;
use std::time::Duration;

use super::clf_time::{TIME_BYTES, seconds_since_1970};
use super::combined;
use super::entry::{Entry, Line};
use super::values::address;

/// Length of the time.
const STAMP_BYTES: usize = "27/Nov/2026:20:17:56.846".len();
/// Length of the time up to the seconds.
const SECONDS_BYTES: usize = "27/Nov/2026:20:17:56".len();

/// `None` if the line has another format.
pub(super) fn read(line: &str) -> Option<Result<Line<'_>, &'static str>> {
    let (before, began, rest) = line.match_indices(" [").find_map(|(at, open)| {
        let text = &line[at + open.len()..];
        Some((&line[..at], stamp(text.get(..STAMP_BYTES)?)?, text[STAMP_BYTES..].strip_prefix("] ")?))
    })?;
    Some(request(before, began, rest))
}

fn stamp(text: &str) -> Option<Duration> {
    let millis: u64 = text.get(SECONDS_BYTES..)?.strip_prefix('.')?.parse().ok()?;
    let with_offset = format!("{} +0000", text.get(..SECONDS_BYTES)?);
    debug_assert_eq!(with_offset.len(), TIME_BYTES);
    Some(seconds_since_1970(&with_offset)? + Duration::from_millis(millis))
}

fn request<'a>(before: &'a str, began: Duration, rest: &'a str) -> Result<Line<'a>, &'static str> {
    let mut words = rest.split(' ');
    let (_frontend, server) = (words.next(), words.next().ok_or("nothing behind the frontend")?);
    let (timers, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some((_, request)) = rest.split_once(" \"") else {
        return Err("HAProxy's tcplog, which knows of no requests (option httplog does)");
    };
    let request = request.strip_suffix('"').unwrap_or(request);
    let total = timers.split('/').nth(4).ok_or("no times of a request")?.trim_start_matches('+');
    // HAProxy refused it, or it was not a request.
    let Some(target) = combined::target(request) else { return Ok(Line::Other) };
    let is_nobody = server.ends_with("/<NOSRV>") || server.ends_with("/<STATS>");
    if status == "-1" || (is_nobody && !status.starts_with('5')) {
        return Ok(Line::Other);
    }
    let client = before.rsplit(' ').next().unwrap_or_default();
    // IPv6 addresses have no brackets; the last colon is before the port.
    let client = address(client.rsplit_once(':').map_or(client, |(ip, _)| ip))?;
    let latency = total.parse().ok().map(Duration::from_millis);
    Ok(Line::Request(Entry {
        at: began + latency.unwrap_or_default(),
        is_whole_second: false,
        latency,
        client,
        forwarded: None,
        target: Cow::Borrowed(target),
        backend: (!is_nobody).then_some(Cow::Borrowed(server)),
        host: None,
    }))
}
