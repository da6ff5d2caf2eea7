//! Parses Envoy's default format and that of AWS application load balancers: words, some of them quoted.

use std::borrow::Cow;
use std::time::Duration;

use super::combined;
use super::entry::{Entry, Line};
use super::values::{address, closing_quote, latency_in, since_1970};

/// Number of quoted words at the end of Envoy's line: forwarded for, agent, request id, authority, upstream.
const ENVOYS_QUOTED: usize = 5;
/// Number of words between Envoy's request and those: status, flags, bytes twice, duration, the upstream's
/// time.
const ENVOYS_NUMBERS: usize = 6;

/// Parses `[2026-11-27T20:28:24.088Z] "GET /x HTTP/1.1" 200 - 0 5 13 12 "XFF" "AGENT" "ID" "HOST"
/// "10.0.0.1:80"`. Quotes inside are not escaped, so the line is read from its end. The time is that of the
/// beginning. `None` if the line has another format.
pub(super) fn envoy(line: &str) -> Option<Result<Line<'_>, &'static str>> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] \"")?;
    let began = since_1970(time).ok()?;
    let inner = rest.strip_suffix('"')?;
    // The agent may contain quotes; the numbers mark the end of the part before it.
    let mut from_the_end = inner.rsplitn(ENVOYS_QUOTED - 1, "\" \"");
    let upstream = from_the_end.next()?;
    let host = from_the_end.next()?;
    let before = from_the_end.last()?;
    let (request, numbers, forwarded) = before.rmatch_indices("\" ").find_map(|(at, quote)| {
        let words: Vec<&str> = before[at + quote.len()..].splitn(ENVOYS_NUMBERS + 1, ' ').collect();
        let is_status = words.first()?.bytes().all(|byte| byte.is_ascii_digit());
        let forwarded = words.get(ENVOYS_NUMBERS)?.strip_prefix('"')?;
        is_status.then(|| (&before[..at], words.clone(), forwarded))
    })?;
    let forwarded = forwarded.split("\" \"").next().unwrap_or_default();
    Some(of_envoy(request, began, &numbers, forwarded, (upstream, host)))
}

fn of_envoy<'a>(
    request: &'a str,
    began: Duration,
    numbers: &[&str],
    forwarded: &'a str,
    (upstream, host): (&'a str, &'a str),
) -> Result<Line<'a>, &'static str> {
    let Some(target) = combined::target(request) else { return Ok(Line::Other) };
    if upstream == "-" && !numbers[0].starts_with('5') {
        return Ok(Line::Other);
    }
    let first = forwarded.split(',').next().unwrap_or_default().trim();
    let client = address(first).map_err(
        |_| "Envoy's line without X-Forwarded-For: its log names no client (use_remote_address does)",
    )?;
    let latency = numbers.get(4).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    Ok(Line::Request(Entry {
        at: began + latency.unwrap_or_default(),
        is_whole_second: false,
        latency,
        client,
        forwarded: None,
        target: Cow::Borrowed(target),
        backend: (upstream != "-").then(|| Cow::Owned(format!("http://{upstream}"))),
        host: (host != "-").then_some(Cow::Borrowed(host)),
    }))
}

/// Parses `TYPE END_TIME ELB CLIENT:PORT TARGET:PORT T1 T2 T3 STATUS … "GET http://host:80/x HTTP/1.1"
/// …`, whose times are in seconds, or -1 if missing. `None` if the line has another format.
pub(super) fn alb(line: &str) -> Option<Result<Line<'_>, &'static str>> {
    let mut words = line.split(' ');
    let kind = words.next().filter(|kind| ["http", "https", "h2", "grpcs", "ws", "wss"].contains(kind));
    kind?;
    let at = since_1970(words.next()?).ok()?;
    let rest: Vec<&str> = words.take(7).collect();
    Some(of_alb(line, at, &rest))
}

fn of_alb<'a>(line: &'a str, at: Duration, words: &[&'a str]) -> Result<Line<'a>, &'static str> {
    let [_balancer, client, backend, times @ ..] = words else { return Err("too few words") };
    let request = line.split_once('"').map(|(_, rest)| rest).ok_or("no request")?;
    let request = &request[..closing_quote(request).ok_or("a request without its closing quote")?];
    let Some(target) = combined::target(request).filter(|_| *backend != "-") else { return Ok(Line::Other) };
    let mut total = Some(Duration::ZERO);
    for time in times.iter().take(3) {
        total = match (total, *time) {
            (_, "-1") | (None, _) => None,
            (Some(sum), text) => Some(sum + latency_in(text, 1.0)?),
        };
    }
    let path =
        target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    Ok(Line::Request(Entry {
        at,
        is_whole_second: false,
        latency: total,
        client: address(client.rsplit_once(':').map_or(*client, |(ip, _)| ip).trim_matches(['[', ']']))?,
        forwarded: None,
        target: Cow::Borrowed(path),
        backend: Some(Cow::Owned(format!("http://{backend}"))),
        host: target.split_once("://").and_then(|(_, rest)| rest.split('/').next()).map(Cow::Borrowed),
    }))
}
