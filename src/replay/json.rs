//! Parses logs with one JSON object per line: our own, Caddy's and Traefik's, distinguished by their fields.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use super::entry::{Entry, Line};
use super::values::{address, latency_in, since_1970};

/// Parses a line that begins with a brace.
pub(super) fn read(line: &str) -> Result<(Line<'static>, &'static str), &'static str> {
    let object: Value =
        serde_json::from_str(line).map_err(|_| "JSON that is not whole, or of no log that is known")?;
    if object["component"].is_string() {
        return ours(&object).map(|line| (line, "ours (JSON)"));
    }
    if object["DownstreamStatus"].is_number() && object["StartUTC"].is_string() {
        return traefiks(&object).map(|line| (line, "Traefik's (JSON)"));
    }
    // Caddy also writes other events into this log.
    if object["level"].is_string() && object["ts"].is_number() {
        return caddys(&object).map(|line| (line, "Caddy's"));
    }
    Err("JSON of no log that is known")
}

fn ours(object: &Value) -> Result<Line<'static>, &'static str> {
    if object["component"] != "access" || object["attempts"].as_u64() == Some(0) {
        return Ok(Line::Other);
    }
    let at = since_1970(object["time"].as_str().ok_or("no time")?)?;
    let latency =
        object["latency_ms"].as_number().map(|it| latency_in(&it.to_string(), 1000.0)).transpose()?;
    let client = address(object["client"].as_str().ok_or("no client")?)?;
    Ok(request(
        at,
        latency,
        client,
        object["path"].as_str(),
        object["backend"].as_str(),
        object["host"].as_str(),
    ))
}

/// The time is that of the end. A duration of 0 means that the answer broke off.
fn caddys(object: &Value) -> Result<Line<'static>, &'static str> {
    let is_access = object["logger"].as_str().is_some_and(|name| name.starts_with("http.log.access"));
    if !is_access || object["request"]["client_ip"].is_null() {
        return Ok(Line::Other);
    }
    let at = object["ts"]
        .as_f64()
        .and_then(|ts| Duration::try_from_secs_f64(ts).ok())
        .ok_or("a time that can't be")?;
    let seconds = object["duration"].as_number().map(ToString::to_string);
    let latency = seconds.map(|text| latency_in(&text, 1.0)).transpose()?.filter(|time| !time.is_zero());
    let client = address(object["request"]["client_ip"].as_str().unwrap_or_default())?;
    Ok(request(
        at,
        latency,
        client,
        object["request"]["uri"].as_str(),
        None,
        object["request"]["host"].as_str(),
    ))
}

/// The time is that of the beginning, the duration is in nanoseconds. Without a service, no backend was
/// asked.
fn traefiks(object: &Value) -> Result<Line<'static>, &'static str> {
    let Some(service) = object["ServiceURL"].as_str() else { return Ok(Line::Other) };
    let began = since_1970(object["StartUTC"].as_str().unwrap_or_default())?;
    let latency = object["Duration"].as_u64().map(Duration::from_nanos);
    let client = address(object["ClientHost"].as_str().ok_or("no client")?)?;
    let at = began + latency.unwrap_or_default();
    Ok(request(
        at,
        latency,
        client,
        object["RequestPath"].as_str(),
        Some(service),
        object["RequestHost"].as_str(),
    ))
}

fn request(
    at: Duration,
    latency: Option<Duration>,
    client: std::net::IpAddr,
    target: Option<&str>,
    backend: Option<&str>,
    host: Option<&str>,
) -> Line<'static> {
    Line::Request(Entry {
        at,
        is_whole_second: false,
        latency,
        client,
        forwarded: None,
        target: Cow::Owned(target.unwrap_or("/").to_owned()),
        backend: backend.map(|name| Cow::Owned(name.to_owned())),
        host: host.map(|name| Cow::Owned(name.to_owned())),
    })
}
