//! Lines of the logs.

use loadbalancer::logging::logfmt::{Line, parse};

/// Between two values of an input.
const BETWEEN: &str = "\n---\n";

/// Input: values, a line `---` between two of them; any of them may have lines of its own.
///
/// Whatever the values are, they make one line of plain characters that reads back as the same values.
/// Nor does anything that is read as a line make the reader panic.
pub fn log_line(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut line = Line::new();
    let mut expected = Vec::new();
    for (index, value) in text.split(BETWEEN).enumerate() {
        let key = format!("key{index}");
        match index % 2 {
            0 => line.field(&key, &value),
            _ => line.quoted(&key, value),
        };
        expected.push((key, value.to_owned()));
    }
    let written = line.finish();
    assert!(!written.contains(turns_or_ends_a_line), "raw: {written:?}");
    assert_eq!(written.lines().count(), 1, "not one line: {written:?}");
    assert_eq!(parse(&written), Some(expected), "reads back otherwise: {written}");
    for read in [parse(&text), parse(&format!("key={text}")), parse(&format!("key=\"{text}"))] {
        assert!(read.is_none_or(|pairs| text.is_empty() || !pairs.is_empty()), "lost {text:?}");
    }
}

/// Controls, Unicode's line ends, and all that has its property `Bidi_Control`.
fn turns_or_ends_a_line(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || turns
}
