//! `--time-field`: the position of a request's time in a log whose format does not show it.

use std::time::Duration;

use super::entry::Entry;
use super::values::latency_in;

const EXPECTED: &str = "write one such as -1:us (the last word, microseconds), 12:ms, or -1:us:begin where the line's time is \
                        that of the beginning (Apache)";

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeField {
    /// Index among the words of a line: from 1 for the first, or from -1 for the last.
    place: isize,
    /// Number of its units in a second.
    parts: f64,
    is_of_begin: bool,
}

impl TimeField {
    /// Parses `PLACE:UNIT` or `PLACE:UNIT:begin`.
    ///
    /// # Errors
    /// A message with valid forms.
    pub fn parse(text: &str) -> Result<TimeField, String> {
        let wrong = || format!("--time-field {text:?}: {EXPECTED}");
        let mut words = text.split(':');
        let place: isize = words.next().unwrap_or_default().parse().map_err(|_| wrong())?;
        let parts = match words.next() {
            Some("s") => 1.0,
            Some("ms") => 1e3,
            Some("us") => 1e6,
            Some("ns") => 1e9,
            _ => return Err(wrong()),
        };
        let is_of_begin = match words.next() {
            None | Some("end") => false,
            Some("begin") => true,
            Some(_) => return Err(wrong()),
        };
        if place == 0 || words.next().is_some() {
            Err(wrong())
        } else {
            Ok(TimeField { place, parts, is_of_begin })
        }
    }

    /// Reads the time from the line into its request.
    ///
    /// # Errors
    /// The line has no such time.
    pub fn put_into(self, entry: &mut Entry<'_>, line: &str) -> Result<(), &'static str> {
        let mut words = line.split_whitespace();
        let place = self.place.unsigned_abs() - 1;
        let word = if self.place > 0 { words.nth(place) } else { words.rev().nth(place) };
        let text = word.ok_or("too few words for --time-field")?.trim_matches('"');
        let time: Duration = latency_in(text, self.parts).map_err(|_| "no number at --time-field")?;
        if self.is_of_begin {
            entry.at += time;
        }
        entry.latency = Some(time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Line, read};
    use super::*;

    const APACHE: &str =
        r#"192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "x y" 2500000"#;

    #[test]
    fn the_word_is_found_from_either_end() {
        let with = |field: &str| {
            let Ok(Line::Request(mut entry)) = read(APACHE) else { panic!("not read") };
            let at = entry.at;
            TimeField::parse(field)
                .unwrap()
                .put_into(&mut entry, APACHE)
                .map(|()| (entry.latency, entry.at - at))
        };
        let seconds = Duration::from_millis(2500);
        assert_eq!(with("-1:us"), Ok((Some(seconds), Duration::ZERO)));
        assert_eq!(with("14:us:begin"), Ok((Some(seconds), seconds)));
        assert_eq!(with("99:us"), Err("too few words for --time-field"));
        assert_eq!(with("1:us"), Err("no number at --time-field"));
        for wrong in ["", "x:us", "0:us", "-1", "-1:m", "-1:us:middle", "-1:us:end:x"] {
            assert!(TimeField::parse(wrong).unwrap_err().contains("-1:us"), "{wrong}");
        }
    }
}
