//! Parses the combined format of nginx and Apache (and the common format, which is shorter), with or without
//! a virtual host in front: `CLIENT - USER [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 2326 "REFERER"
//! "AGENT"`. Custom fields may follow, see [`super::tail`].

use std::borrow::Cow;
use std::time::Duration;

use super::clf_time::{TIME_BYTES, seconds_since_1970};
use super::entry::{Entry, Line};
use super::tail::Tail;
use super::values::{address, closing_quote};
use crate::http::headers::is_token;

/// Statuses with which a server refuses a request itself, before asking a backend: not HTTP, too slow, too
/// large, or (494 to 497, specific to nginx) contrary to its TLS settings.
const SERVERS_OWN: [&str; 10] = ["400", "408", "413", "414", "431", "494", "495", "496", "497", "505"];

pub(super) fn read(line: &str) -> Result<Line<'_>, &'static str> {
    let (client, rest) = line.split_once(' ').ok_or("neither our format nor the combined one")?;
    let (host, client, rest) = behind_host(client, rest);
    let client = address(client)?;
    let (at, rest) = behind_time(rest)?;
    let end = closing_quote(rest).ok_or("a request without its closing quote")?;
    let (request, rest) = (&rest[..end], rest[end + 1..].trim_start());
    let (status, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if !is_status(status) {
        return Err("no status after the request");
    }
    // No backend was asked for something that is not a request (a TLS hello, noise).
    let Some(target) = target(request) else { return Ok(Line::Other) };
    let tail = Tail::read(rest);
    if SERVERS_OWN.contains(&status) && !tail.tells_of_backend {
        return Ok(Line::Other);
    }
    Ok(Line::Request(Entry {
        // nginx logs the time of the end, Traefik that of the beginning; without a latency, either counts as
        // the beginning.
        at: at + tail.traefiks.unwrap_or_default(),
        is_whole_second: true,
        latency: tail.latency.or(tail.traefiks),
        client,
        forwarded: tail.forwarded,
        target: Cow::Borrowed(target),
        backend: tail.backend.map(Cow::Borrowed),
        host: host.map(Cow::Borrowed),
    }))
}

/// Apache's vhost_combined begins with `HOST:PORT`.
fn behind_host<'a>(first: &'a str, rest: &'a str) -> (Option<&'a str>, &'a str, &'a str) {
    match rest.split_once(' ') {
        Some((second, after))
            if first.contains(':') && address(first).is_err() && address(second).is_ok() =>
        {
            (Some(first), second, after)
        }
        _ => (None, first, rest),
    }
}

/// The time, and the text after the quote that follows it. A user name may look like the start of a time.
fn behind_time(text: &str) -> Result<(Duration, &str), &'static str> {
    let mut reason = "no time in [ ]";
    for (start, open) in text.match_indices(" [") {
        let text = &text[start + open.len()..];
        let Some(at) = text.get(..TIME_BYTES).and_then(seconds_since_1970) else { continue };
        match text[TIME_BYTES..].strip_prefix("] \"") {
            Some(rest) => return Ok((at, rest)),
            None => reason = "no request after the time",
        }
    }
    Err(reason)
}

/// Three digits, or 0, which Traefik writes for a WebSocket.
fn is_status(text: &str) -> bool {
    text == "0" || (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The target of a request of HTTP/1.0 or later that may have been passed on.
pub(super) fn target(request: &str) -> Option<&str> {
    let (method, rest) = request.split_once(' ')?;
    let (target, version) = rest.rsplit_once(' ')?;
    let is_http = is_token(method.as_bytes()) && version.starts_with("HTTP/") && !target.is_empty();
    let is_passed_on = !matches!((method, target), ("CONNECT" | "PRI", _) | (_, "-"));
    (is_http && is_passed_on).then_some(target)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    const APACHE: &str = r#"192.0.2.9 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif?x HTTP/1.0" 200 2326 "http://x/" "Mozilla/4.08 [en] (Win98; I)""#;

    fn entry(line: &str) -> Entry<'_> {
        match read(line) {
            Ok(Line::Request(entry)) => entry,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn apache_says_when_and_who() {
        let entry = entry(APACHE);
        assert_eq!(entry.at, Duration::from_secs(971_211_336));
        assert_eq!(entry.client, IpAddr::from([192, 0, 2, 9]));
        assert_eq!(&*entry.target, "/a.gif?x");
        assert_eq!((entry.latency, entry.backend, entry.is_whole_second), (None, None, true));
    }

    #[test]
    fn request_time_at_the_end_is_the_latency() {
        for (end, ms) in [(" 0.250", Some(250)), (" 12.000", Some(12_000)), (" 1234", None), (" -", None)] {
            let line = format!("{APACHE}{end}");
            assert_eq!(entry(&line).latency, ms.map(Duration::from_millis), "{end}");
        }
    }

    #[test]
    fn a_user_may_be_called_anything() {
        for user in ["fr ank [x] \\x22q\\x22", "[", " [ [", "[10/Oct/2000:13:55:36 -0700] x"] {
            let line = APACHE.replacen("frank", user, 1);
            assert_eq!(entry(&line).at, Duration::from_secs(971_211_336), "{user}");
        }
    }

    #[test]
    fn a_virtual_host_may_stand_in_front() {
        let line = format!("www.example.com:80 {APACHE}");
        assert_eq!(entry(&line).client, IpAddr::from([192, 0, 2, 9]));
    }

    #[test]
    fn what_the_server_refused_by_itself_is_no_request() {
        for (from, to) in [
            ("\" 200", "\" 400"),
            ("\" 200", "\" 408"),
            ("GET /a.gif?x HTTP/1.0", "hello there"),
            ("GET /a.gif?x HTTP/1.0", "GET /half-li"),
            ("GET /a.gif?x HTTP/1.0", "-"),
            ("GET /a.gif?x HTTP/1.0", ""),
            ("GET /a.gif?x HTTP/1.0", "PRI * HTTP/1.1"),
            ("GET /a.gif?x HTTP/1.0", "CONNECT example.com:443 HTTP/1.1"),
        ] {
            let line = APACHE.replacen(from, to, 1);
            assert_eq!(read(&line), Ok(Line::Other), "{line}");
        }
        for status in ["404", "499", "502", "101", "0"] {
            entry(&APACHE.replacen("\" 200", &format!("\" {status}"), 1));
        }
        let by_a_backend = format!("{} 0.020 0.019", APACHE.replacen("\" 200", "\" 400", 1));
        assert_eq!(entry(&by_a_backend).latency, Some(Duration::from_millis(20)));
    }

    #[test]
    fn quotes_in_a_request_do_not_end_it() {
        let line = APACHE.replace("/a.gif?x", r#"/a\"b"#);
        assert_eq!(&*entry(&line).target, r#"/a\"b"#);
    }

    #[test]
    fn the_common_format_ends_earlier_and_noise_is_no_request() {
        let line = &APACHE[..APACHE.find(" \"http").unwrap()];
        assert_eq!(entry(line).latency, None);
        let noise = APACHE.replace("GET /a.gif?x HTTP/1.0", r"\x16\x03\x01");
        assert_eq!(read(&noise), Ok(Line::Other));
    }

    #[test]
    fn what_can_not_be_read_has_a_reason() {
        for (from, to, reason) in [
            ("192.0.2.9", "example.com", "no address"),
            ("[10/", "(10/", "time"),
            ("Oct", "Okt", "time"),
            ("2000:13", "2000:25", "time"),
            ("2000", "1960", "time"),
            ("\"GET", "GET", "request"),
            ("\" 200", "\" OK", "status"),
        ] {
            let wrong = APACHE.replacen(from, to, 1);
            let found = read(&wrong).expect_err(&wrong);
            assert!(found.contains(reason), "{wrong}: {found}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), start in "[0-9.]{7} - - \\[[0-9A-Za-z/: +-]{26}\\] \"[ -~]{0,20}") {
            let _ = read(&text);
            let _ = read(&format!("{start}{text}"));
            let _ = read(&format!("{APACHE}{text}"));
        }
    }
}
