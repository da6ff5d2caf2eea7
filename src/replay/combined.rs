//! The combined format of nginx and Apache (and the common one, which ends earlier):
//! `CLIENT - USER [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 2326 "REFERER" "AGENT" 0.123`.
//! nginx's `$request_time` is the latency where it stands at the end; a number without a point is
//! something else (Apache's `%D` counts microseconds, `%T` whole seconds).

use std::borrow::Cow;
use std::time::Duration;

use super::line::{Entry, Line, address, latency_in};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// `10/Oct/2000:13:55:36 -0700`
const TIME_BYTES: usize = 26;
const DAY_SECONDS: i64 = 24 * 60 * 60;

pub(super) fn read(line: &str) -> Result<Line<'_>, &'static str> {
    let (client, rest) = line.split_once(' ').ok_or("neither our format nor the combined one")?;
    let client = address(client)?;
    let (_, rest) = rest.split_once(" [").ok_or("no time in [ ]")?;
    let at = rest.get(..TIME_BYTES).and_then(seconds_since_1970).ok_or("no time in [ ]")?;
    let rest = rest[TIME_BYTES..].strip_prefix("] \"").ok_or("no request after the time")?;
    let end = closing_quote(rest).ok_or("a request without its closing quote")?;
    let rest_after = rest[end + 1..].trim_start();
    let has_status = rest_after.split(' ').next().is_some_and(is_status);
    if !has_status {
        return Err("no status after the request");
    }
    // What is no request (a TLS hello, noise) no backend was asked for.
    let Some(target) = rest[..end].split(' ').nth(1) else { return Ok(Line::Other) };
    let last = rest_after.rsplit(' ').next().filter(|last| is_decimal(last));
    let latency = last.map(|last| latency_in(last, 1.0)).transpose()?;
    let target = Cow::Borrowed(target);
    Ok(Line::Request(Entry { at, is_whole_second: true, latency, client, target, backend: None }))
}

fn is_status(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The first quote that no backslash stands before.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn seconds_since_1970(text: &str) -> Option<Duration> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let marks = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
        return None;
    }
    let month = MONTHS.iter().position(|month| text.get(3..6) == Some(month))? as i64 + 1;
    let (day, year) = (number(0, 2)?, number(7, 11)?);
    let (hour, minute, second) = (number(12, 14)?, number(15, 17)?, number(18, 20)?);
    let is_real = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let sign = match bytes.get(21)? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let offset = sign * (number(22, 24)? * 3600 + number(24, 26)? * 60);
    let local = days_since_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    u64::try_from(local - offset).ok().filter(|_| is_real).map(Duration::from_secs)
}

/// In the Gregorian calendar; years begin in March here, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_1970: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::SystemTime;

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
        fn dates_are_those_of_another_calendar(seconds in 0u64..8_000_000_000, hours in -12i64..=14) {
            let local = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds + 15 * 3600) - Duration::from_secs((15 - hours) as u64 * 3600);
            let text = humantime::format_rfc3339_seconds(local).to_string();
            let (sign, month) = (if hours < 0 { '-' } else { '+' }, MONTHS[text[5..7].parse::<usize>().unwrap() - 1]);
            let date = format!("{}/{month}/{}:{} {sign}{:02}00", &text[8..10], &text[..4], &text[11..19], hours.abs());
            prop_assert_eq!(seconds_since_1970(&date), Some(Duration::from_secs(seconds)), "{}", date);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), start in "[0-9.]{7} - - \\[[0-9A-Za-z/: +-]{26}\\] \"[ -~]{0,20}") {
            let _ = read(&text);
            let _ = read(&format!("{start}{text}"));
            let _ = read(&format!("{APACHE}{text}"));
        }
    }
}
