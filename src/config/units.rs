//! Durations such as `"1m30s"`, sizes such as `"64KiB"` and status ranges such as `"200-399"`: parsing and
//! writing. Written values parse to the same value.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::Value as Json;

use super::StatusRanges;
use super::as_text::written_as_text;
use super::error::quoted;

/// The form of a duration, for messages.
pub(super) const DURATION: &str = r#"a duration such as "50ms", "3s" or "1m30s""#;
/// The form of a size, for messages.
pub(super) const SIZE: &str = r#"a number of bytes, or a size such as "64KiB""#;
/// The form of status ranges, for messages.
pub(super) const STATUS_RANGES: &str = r#"status ranges such as "200-399" or "200-299,301""#;

/// The form of a list of statuses, for messages.
pub(super) const STATUSES: &str = "a list of statuses such as [502, 503]";

/// The valid statuses.
pub(super) const STATUS: RangeInclusive<u16> = 100..=599;

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Parses a duration from 1 ms to 24 h.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        Duration::ZERO => {
            Err(format!("{} makes no sense here; write a duration from \"1ms\" to \"24h\"", quoted(text)))
        }
        short if short < SHORTEST => {
            Err(format!("{} is too short; write a duration from \"1ms\" to \"24h\"", quoted(text)))
        }
        duration => Ok(duration),
    }
}

/// Parses a duration from 0 to 24 h.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)
        .ok_or_else(|| format!("{} is not a duration; write {DURATION}", quoted(text)))?;
    if duration > LONGEST {
        return Err(format!("{} is too long; write at most \"24h\"", quoted(text)));
    }
    Ok(duration)
}

/// humantime 2.4.0 panics if seconds sum up to 2^64 ("18446744073709551615s 1000ms"), so such long numbers
/// are not passed to it. The test `a_sum_past_all_seconds_is_no_panic` shows when this workaround can go.
fn parse_duration(text: &str) -> Option<Duration> {
    const MOST_BYTES: usize = 64;
    const MOST_DIGITS: usize = 9;
    let compact: String = text.split_whitespace().collect();
    let longest = compact.split(|c: char| !c.is_ascii_digit()).map(str::len).max()?;
    if text.len() > MOST_BYTES || longest > MOST_DIGITS {
        return None;
    }
    humantime::parse_duration(&compact).ok()
}

/// Writes `"50ms"`, `"90s"`, `"2m30s"`.
pub fn write_duration(duration: Duration) -> String {
    const LONGEST_IN_SECONDS: u64 = 120;
    if duration.subsec_nanos() == 0 && duration.as_secs() <= LONGEST_IN_SECONDS {
        return format!("{}s", duration.as_secs());
    }
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// Parses a size in bytes, with or without a unit.
pub(super) fn size(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let ByteSize(bytes) =
        text.parse().map_err(|_| format!("{} is not a size; write {SIZE}", quoted(text)))?;
    // A size that overflows saturates in `ByteSize`.
    if !range.contains(&bytes) || (bytes == u64::MAX && !text.trim().bytes().all(|b| b.is_ascii_digit())) {
        let (least, most) = (write_size(*range.start()), write_size(*range.end()));
        return Err(format!("{} is out of range; write a size from {least} to {most}", quoted(text)));
    }
    Ok(bytes)
}

/// Writes `"64KiB"` if that is exact, else the number of bytes.
pub(super) fn write_size(bytes: u64) -> Json {
    let units = [(bytesize::GIB, "GiB"), (bytesize::MIB, "MiB"), (bytesize::KIB, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => Json::from(format!("{}{name}", bytes / unit)),
        None => Json::from(bytes),
    }
}

/// Parses inclusive ranges of statuses, separated by commas.
pub(super) fn status_ranges(text: &str) -> Result<StatusRanges, String> {
    text.split(',')
        .map(|range| status_range(range.trim()))
        .collect::<Option<Vec<_>>>()
        .map(StatusRanges)
        .ok_or_else(|| format!("{} is not a list of statuses; write {STATUS_RANGES}", quoted(text)))
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some((first, last))
}

fn status(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|status| STATUS.contains(status))
}

impl StatusRanges {
    /// Whether one of the ranges contains `status`.
    pub fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

written_as_text!(StatusRanges);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let check = |text: &str, expected: Option<u64>| {
            let millis = duration_or_zero(text).ok().map(|duration| duration.as_millis() as u64);
            assert_eq!(millis, expected, "{text}");
        };
        check("50ms", Some(50));
        check("3s", Some(3000));
        check("1m30s", Some(90_000));
        check("1m 30s", Some(90_000));
        check("1.5s", Some(1500));
        check("0s", Some(0));
        check("24h", Some(86_400_000));
        for wrong in ["", " ", "3", "-3s", "s", "3x", "24h1ms", "1e3s", "1000000000000s", "\u{1F980}"] {
            check(wrong, None);
        }
    }

    #[test]
    fn zero_and_less_than_a_millisecond_are_refused_where_they_make_no_sense() {
        assert!(duration("0s").is_err());
        assert!(duration("999us").is_err());
        assert!(duration("1ms").is_ok());
    }

    #[test]
    fn a_sum_past_all_seconds_is_no_panic() {
        let text = "18446744073709551615s 1000ms";
        assert!(duration_or_zero(text).is_err());
        let theirs = std::panic::catch_unwind(|| humantime::parse_duration(text).is_ok());
        assert!(theirs.is_err(), "humantime was put right: parse_duration can call it alone");
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        let check = |text: &str| assert_eq!(write_duration(parse_duration(text).unwrap()), text);
        ["0s", "50ms", "90s", "120s", "2m1s", "1s500ms", "1h", "23h59m59s999ms999us999ns"]
            .into_iter()
            .for_each(check);
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(size(text, &(0..=u64::MAX)).ok(), expected, "{text}");
        };
        check("0", Some(0));
        check("65536", Some(65_536));
        check("64KiB", Some(65_536));
        check("64 KiB", Some(65_536));
        check("64kB", Some(64_000));
        check("1.5MiB", Some(1_572_864));
        for wrong in ["99999999999GiB", "", "KiB", "-1", "1e6", "64 parsecs", "1.2.3MiB"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes_are_written_in_the_largest_exact_unit() {
        assert_eq!(write_size(0), Json::from(0));
        assert_eq!(write_size(1023), Json::from(1023));
        assert_eq!(write_size(1024), Json::from("1KiB"));
        assert_eq!(write_size(3 << 30), Json::from("3GiB"));
    }

    #[test]
    fn status_ranges_are_inclusive_and_ascending() {
        let check = |text: &str, expected: Option<&str>| {
            let written = status_ranges(text).ok().map(|ranges| ranges.to_string());
            assert_eq!(written.as_deref(), expected, "{text}");
        };
        check("200-399", Some("200-399"));
        check(" 200 - 299 , 301", Some("200-299,301"));
        check("204-204", Some("204"));
        for wrong in ["", ",", "200-", "99", "600", "300-200", "2xx", "200,", "200-299-399"] {
            check(wrong, None);
        }
        let ranges = status_ranges("200-299,301").unwrap();
        assert!(ranges.contain(200) && ranges.contain(299) && ranges.contain(301));
        assert!(!ranges.contain(300));
    }
}
