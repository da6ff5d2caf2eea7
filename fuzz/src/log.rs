//! Lines of the logs.

use std::time::Duration;

use loadbalancer::logging::line::Line;
use loadbalancer::logging::logfmt::parse;
use loadbalancer::replay::line;

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

/// Longer than any request takes.
const MAX_LATENCY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Input: a line of an access log, ours or nginx's or Apache's.
///
/// No line makes the reader panic, and what it takes for a request has an address and a latency that can
/// be. Whatever a client asks for, our own line of it reads back as that.
pub fn replayed_line(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match line::read(text.strip_suffix('\n').unwrap_or(&text)) {
        Ok(line::Line::Request(entry)) => {
            assert_eq!(entry.client, entry.client.to_canonical(), "IPv4 in IPv6's clothes");
            assert!(entry.latency.is_none_or(|latency| latency <= MAX_LATENCY), "{entry:?}");
        }
        Ok(line::Line::Other) => {}
        Err(reason) => assert!(!reason.is_empty() && !reason.contains(char::is_control)),
    }
    let mut fields = Line::new();
    fields.field("component", &"access").field("path", &text).field("client", &"::1").field("attempts", &1);
    let written = format!("2026-05-01T10:00:00.000Z {}", fields.finish());
    let Ok(line::Line::Request(entry)) = line::read(&written) else { panic!("not read: {written}") };
    assert_eq!(entry.target, text, "reads back otherwise: {written}");
}
