//! Parses a line of an access log, in our own format (logfmt, written by `middleware::access_log`) or that of
//! another program. Pure; clients influence the content of logs, so any text must be handled.

use std::borrow::Cow;

use super::values::{address, latency_in, since_1970};
use super::{cloud, combined, formats, haproxy, json};
use crate::logging::logfmt;

pub use super::entry::{Entry, Line};

/// Start of our lines; before version 0.2 they began with the time itself.
const TIME: &str = "time=";
/// Position of the `T` in an RFC 3339 time: `2026-01-01T`.
const RFC3339_T: usize = 10;

/// Parses a line without its end.
///
/// # Errors
/// What is wrong with the line, for the user.
pub fn read(line: &str) -> Result<Line<'_>, &'static str> {
    read_with_format(line).map(|(line, _)| line)
}

/// Like [`read`], and returns the name of the format.
///
/// # Errors
/// As [`read`].
pub fn read_with_format(line: &str) -> Result<(Line<'_>, &'static str), &'static str> {
    let named = |name: &'static str, line: Result<_, _>| line.map(|line| (line, name));
    let result = match line.as_bytes().get(RFC3339_T) {
        _ if line.starts_with(TIME) => named("ours", ours(&line[TIME.len()..])),
        Some(b'T') if !line.starts_with('[') => named("ours", ours(line)),
        _ if line.starts_with('{') => json::read(line),
        _ if line.trim().is_empty() => Err("an empty line"),
        _ => match others(line) {
            Some((name, found)) => named(name, found),
            None => named("combined", combined::read(line)),
        },
    };
    result.map_err(|reason| formats::name(line).unwrap_or(reason))
}

type Found<'a> = Result<Line<'a>, &'static str>;

/// Tries the formats that can't be mistaken for another.
fn others(line: &str) -> Option<(&'static str, Found<'_>)> {
    let envoy = || cloud::envoy(line).map(|found| ("Envoy's", found));
    let alb = || cloud::alb(line).map(|found| ("an AWS application load balancer's", found));
    let haproxy = || haproxy::read(line).map(|found| ("HAProxy's httplog", found));
    envoy().or_else(alb).or_else(haproxy)
}

fn ours(line: &str) -> Result<Line<'_>, &'static str> {
    let (time, mut rest) = line.split_once(' ').ok_or("nothing after the time")?;
    let at = since_1970(time)?;
    let (mut is_access, mut attempts, mut latency, mut client) = (false, None, None, None);
    let (mut target, mut backend, mut host) = (Cow::Borrowed("/"), None, None);
    while !rest.is_empty() {
        let (name, value, after) = logfmt::first_pair(rest).ok_or("not logfmt")?;
        match name {
            "component" => is_access = value == "access",
            "path" => target = value,
            "latency_ms" => latency = Some(latency_in(&value, 1000.0)?),
            "client" => client = Some(address(&value)?),
            "backend" => backend = Some(value).filter(|name| name != "-"),
            "attempts" => attempts = Some(value),
            "host" => host = Some(value).filter(|name| name != "-"),
            _ => {}
        }
        rest = after;
    }
    if !is_access || attempts.as_deref() == Some("0") {
        return Ok(Line::Other);
    }
    let client = client.ok_or("no client")?;
    let is_whole_second = false;
    Ok(Line::Request(Entry { at, is_whole_second, latency, client, forwarded: None, target, backend, host }))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::logging::line::Line as LogLine;

    const OURS: &str = "2026-05-01T10:00:00.250Z level=INFO component=access method=GET path=\"/a?b=1\" \
        status=200 latency_ms=12.500 client=192.0.2.7 backend=http://localhost:3001 attempts=1 bytes=3 \
        request_id=r1";

    #[test]
    fn our_own_lines_have_it_all() {
        let Ok(Line::Request(entry)) = read(OURS) else { panic!("not read") };
        assert_eq!(entry.at, Duration::from_millis(1_777_629_600_250));
        assert_eq!(entry.latency, Some(Duration::from_micros(12_500)));
        assert_eq!(entry.client, IpAddr::from([192, 0, 2, 7]));
        assert_eq!((&*entry.target, entry.backend.as_deref()), ("/a?b=1", Some("http://localhost:3001")));
        assert!(!entry.is_whole_second);
    }

    #[test]
    fn time_may_be_a_field_and_the_line_an_object() {
        let plain = read(OURS);
        assert_eq!(read(&format!("time={OURS}")), plain);
        let object = r#"{"time":"2026-05-01T10:00:00.250Z","level":"INFO","component":"access","method":"GET",
            "path":"/a?b=1","status":200,"latency_ms":12.500,"client":"192.0.2.7",
            "backend":"http://localhost:3001","attempts":1,"bytes":3,"request_id":"r1"}"#;
        assert_eq!(read(object), plain);
        assert_eq!(
            read(r#"{"time":"2026-05-01T10:00:00Z","component":"app","msg":"listening"}"#),
            Ok(Line::Other)
        );
    }

    #[test]
    fn what_no_backend_was_asked_for_is_left_out() {
        let endpoint = OURS.replace("attempts=1", "attempts=0");
        assert_eq!(read(&endpoint), Ok(Line::Other));
        assert_eq!(read("2026-05-01T10:00:00Z level=INFO component=app msg=\"listening\""), Ok(Line::Other));
        let unanswered = OURS.replace("backend=http://localhost:3001", "backend=-");
        assert!(matches!(read(&unanswered), Ok(Line::Request(Entry { backend: None, .. }))));
    }

    #[test]
    fn what_can_not_be_read_has_a_reason() {
        for (wrong, reason) in [
            ("", "empty"),
            ("2026-05-01T10:00:00Z", "after the time"),
            ("2026-13-01T10:00:00Z component=access", "RFC 3339"),
            ("1969-05-01T10:00:00Z component=access", "RFC 3339"),
            ("2026-05-01T10:00:00Z component=access path=\"/", "logfmt"),
            ("2026-05-01T10:00:00Z component=access attempts=1", "no client"),
            (&OURS.replace("192.0.2.7", "example.com"), "no address"),
            (&OURS.replace("12.500", "soon"), "no number"),
            (&OURS.replace("12.500", "-1"), "can't be"),
            (&OURS.replace("12.500", "1e30"), "can't be"),
            (&OURS.replace("12.500", "inf"), "can't be"),
            (&OURS.replace("12.500", "604800001"), "week"),
        ] {
            let found = read(wrong).expect_err(wrong);
            assert!(found.contains(reason), "{wrong}: {found}");
        }
    }

    proptest! {
        #[test]
        fn what_our_log_writes_reads_back(path in any::<String>(), client: IpAddr, ms in 0u32..1_000_000, secs in 0u32..) {
            let time = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_secs(secs.into()));
            let mut fields = LogLine::new();
            fields.field("component", &"access").field("path", &path).field("client", &client);
            fields.field("latency_ms", &format_args!("{ms}.000")).field("attempts", &2);
            let text = format!("{time} {}", fields.finish());
            let Ok(Line::Request(entry)) = read(&text) else { panic!("{text}") };
            prop_assert_eq!(&*entry.target, path);
            prop_assert_eq!(entry.client, client.to_canonical());
            prop_assert_eq!(entry.latency, Some(Duration::from_millis(ms.into())));
            prop_assert_eq!(entry.at.as_secs(), u64::from(secs));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), time in "[0-9T:Z.-]{0,24}") {
            let _ = read(&text);
            let _ = read(&format!("{time} {text}"));
        }
    }
}
