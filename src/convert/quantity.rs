//! Times and sizes in other programs' notation, and in ours.

use std::time::Duration;

use serde_json::{Value as Json, json};

/// The longest time in our file, in milliseconds.
const LONGEST_MILLIS: f64 = 24.0 * 60.0 * 60.0 * 1000.0;

/// Parses a time such as `90`, `1m30s`, `1.5h` or `250ms`; `bare` is the unit of a number without one, in
/// milliseconds.
pub fn time(text: &str, bare: f64) -> Option<Duration> {
    let mut rest = text.trim();
    let mut millis = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        millis += number
            * match &rest[..letters] {
                "" => bare,
                "ns" => 1e-6,
                "us" | "µs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3600e3,
                "d" => 86_400e3,
                "w" => 604_800e3,
                "M" => 2_592_000e3,
                "y" => 31_536_000e3,
                _ => return None,
            };
        rest = rest[letters..].trim_start();
    }
    (millis.is_finite() && millis >= 0.0).then(|| Duration::from_secs_f64(millis.min(1e15) / 1e3))
}

/// The time in our notation, limited to between 1 ms and 24 h.
pub fn written(time: Duration) -> Json {
    let millis = (time.as_secs_f64() * 1e3).round().clamp(1.0, LONGEST_MILLIS);
    json!(crate::config::write_duration(Duration::from_millis(millis as u64)))
}

/// Parses a size such as `8k`, `10m`, `1g` (nginx) or `10MB`, `10MiB` (Caddy) into bytes. `k`, `m` and `g`
/// alone are powers of 1024.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_and_sizes_are_those_of_the_other_program() {
        for (text, bare, millis) in [
            ("60", 1e3, Some(60_000)),
            ("1m30s", 1e3, Some(90_000)),
            ("1h 30m", 1e3, Some(5_400_000)),
            ("5000", 1.0, Some(5000)),
            ("1.5s", 1.0, Some(1500)),
            ("0", 1.0, Some(0)),
            ("s", 1.0, None),
            ("5 parsecs", 1.0, None),
            ("", 1.0, None),
        ] {
            assert_eq!(time(text, bare).map(|it| it.as_millis()), millis, "{text}");
        }
        assert_eq!(size("10m"), Some(10 << 20));
        assert_eq!(size("10MB"), Some(10_000_000));
        assert_eq!(size("99999999999999999999g"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_written_can_be_read(text in "[0-9.]{1,12}[a-zµ]{0,2}") {
            if let Some(time) = time(&text, 1e3) {
                let file = json!({ "timeouts": { "request": written(time) } }).to_string();
                prop_assert!(crate::config::parse(&file, &crate::config::Overrides::default()).is_ok(), "{}", file);
            }
        }
    }
}
