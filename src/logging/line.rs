//! Builds one log line, as logfmt or as a JSON object. Every value is escaped here, so that a client can't
//! forge a line or a field.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::time::SystemTime;

/// The encoding of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// `key=value` pairs; a value is quoted if necessary.
    #[default]
    Logfmt,
    /// One JSON object with the same names; numbers are JSON numbers, missing values are null.
    Json,
}

/// One line under construction, without its line end. Keys are our own and need no escaping.
#[derive(Default)]
pub struct Line {
    encoding: Encoding,
    text: String,
}

impl Line {
    /// An empty line of logfmt.
    pub fn new() -> Line {
        Line::encoded(Encoding::Logfmt)
    }

    /// A line that begins with the time, in RFC 3339 with a fixed width.
    pub fn at(time: SystemTime, encoding: Encoding) -> Line {
        let mut line = Line::encoded(encoding);
        line.key("time");
        let time = humantime::format_rfc3339_millis(time);
        // Writing to a String can't fail.
        let _ = match encoding {
            Encoding::Logfmt => write!(line.text, "{time}"),
            Encoding::Json => write!(line.text, "\"{time}\""),
        };
        line
    }

    fn encoded(encoding: Encoding) -> Line {
        // Room for a whole access line.
        Line { encoding, text: String::with_capacity(512) }
    }

    /// Adds a pair; the value is quoted if necessary.
    pub fn field(&mut self, key: &str, value: &dyn Display) -> &mut Line {
        self.key(key);
        let start = self.text.len();
        // If a `Display` fails, the part that it wrote is kept.
        let _ = write!(self.text, "{value}");
        let is_plain = self.text.len() > start && self.text[start..].bytes().all(is_plain);
        match self.encoding {
            Encoding::Logfmt if is_plain => {}
            Encoding::Json if is_plain => {
                self.text.insert(start, '"');
                self.text.push('"');
            }
            _ => {
                let value = self.text.split_off(start);
                self.push_quoted(&value);
            }
        }
        self
    }

    /// Adds a pair whose value is a number or a boolean, which needs no escaping.
    pub fn number(&mut self, key: &str, value: &dyn Display) -> &mut Line {
        self.key(key);
        let _ = write!(self.text, "{value}");
        self
    }

    /// Adds a pair whose value is a number in most cases, given as text.
    pub fn number_or_text(&mut self, key: &str, value: &str) -> &mut Line {
        match value.parse::<f64>().is_ok_and(f64::is_finite)
            && value.starts_with(|c: char| c.is_ascii_digit())
        {
            true => self.number(key, &value),
            false => self.field(key, &value),
        }
    }

    /// Adds a pair whose value may be missing.
    pub fn optional(&mut self, key: &str, value: Option<&str>) -> &mut Line {
        match (value, self.encoding) {
            (Some(value), _) => self.field(key, &value),
            (None, Encoding::Logfmt) => self.number(key, &"-"),
            (None, Encoding::Json) => self.number(key, &"null"),
        }
    }

    /// Adds a pair whose value is always quoted.
    pub fn quoted(&mut self, key: &str, value: &str) -> &mut Line {
        self.key(key);
        self.push_quoted(value);
        self
    }

    /// Returns the finished line and leaves an empty one.
    pub fn finish(&mut self) -> String {
        if self.encoding == Encoding::Json {
            self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        }
        std::mem::take(&mut self.text)
    }

    fn key(&mut self, key: &str) {
        let is_first = self.text.is_empty();
        match self.encoding {
            Encoding::Logfmt => {
                self.text.push_str(if is_first { "" } else { " " });
                self.text.push_str(key);
                self.text.push('=');
            }
            Encoding::Json => {
                self.text.push_str(if is_first { "{\"" } else { ",\"" });
                self.text.push_str(key);
                self.text.push_str("\":");
            }
        }
    }

    fn push_quoted(&mut self, value: &str) {
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                c if needs_escape(c) => {
                    let _ = match self.encoding {
                        Encoding::Logfmt => write!(self.text, "\\u{{{:x}}}", c as u32),
                        // All of these characters are below U+10000, so one escape is enough.
                        Encoding::Json => write!(self.text, "\\u{:04x}", c as u32),
                    };
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

/// Whether a byte can be in a value without quotes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\')
}

/// The text with everything escaped that a terminal might take for a command: what a client sent is also shown
/// outside of logs.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(needs_escape) {
        return text.into();
    }
    let escaped = |c: char| match needs_escape(c) {
        true => c.escape_unicode().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// Control characters, line separators, and characters that change the text direction in some terminals
/// (Unicode's `Bidi_Control`).
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::logging::logfmt::parse;

    #[test]
    fn nothing_that_is_shown_commands_a_terminal() {
        assert_eq!(shown("GET /\u{9b}31m\u{202e}é"), "GET /\\u{9b}31m\\u{202e}é");
        assert!(matches!(shown("GET /é"), Cow::Borrowed(_)));
    }

    fn line(value: &str) -> String {
        Line::new().field("a", &value).field("b", &1).finish()
    }

    fn json(value: &str) -> String {
        Line::encoded(Encoding::Json).field("a", &value).number("b", &1).finish()
    }

    #[test]
    fn plain_values_stay_bare() {
        assert_eq!(line("http://localhost:3002/x?y"), "a=http://localhost:3002/x?y b=1");
        assert_eq!(line("x=y"), "a=\"x=y\" b=1");
        assert_eq!(line(""), "a=\"\" b=1");
        assert_eq!(json("http://localhost:3002/x?y"), r#"{"a":"http://localhost:3002/x?y","b":1}"#);
        assert_eq!(json(""), r#"{"a":"","b":1}"#);
    }

    #[test]
    fn a_value_can_not_end_its_line_or_start_a_field() {
        assert_eq!(line("x\nlevel=ERROR \"q\" \\"), r#"a="x\nlevel=ERROR \"q\" \\" b=1"#);
        assert_eq!(line("\u{2028}\u{1b}[31m"), "a=\"\\u{2028}\\u{1b}[31m\" b=1");
        assert_eq!(line("\u{61c}\u{202e}"), "a=\"\\u{61c}\\u{202e}\" b=1");
        assert_eq!(json("x\n\",\"b\":2,\u{202e}"), r#"{"a":"x\n\",\"b\":2,\u202e","b":1}"#);
    }

    #[test]
    fn the_time_has_one_width_and_what_is_not_there_is_said() {
        let mut line = Line::at(SystemTime::UNIX_EPOCH, Encoding::Logfmt);
        assert_eq!(line.optional("backend", None).finish(), "time=1970-01-01T00:00:00.000Z backend=-");
        let mut line = Line::at(SystemTime::UNIX_EPOCH, Encoding::Json);
        let expected = r#"{"time":"1970-01-01T00:00:00.000Z","backend":null}"#;
        assert_eq!(line.optional("backend", None).finish(), expected);
    }

    proptest! {
        #[test]
        fn one_line_in_one_line_out_and_fields_parse_back(one in any::<String>(), two in "\\PC*", msg in any::<String>()) {
            let text = Line::new().field("one", &one).quoted("msg", &msg).field("two", &two).finish();
            prop_assert_eq!(text.lines().count(), 1);
            let pairs = parse(&text).expect("parses");
            let expected = [("one", one), ("msg", msg), ("two", two)].map(|(key, value)| (key.to_owned(), value));
            prop_assert_eq!(pairs, expected.to_vec());
        }

        #[test]
        fn json_is_one_line_and_reads_back(one in any::<String>(), two in "\\PC*") {
            let mut line = Line::encoded(Encoding::Json);
            let text = line.field("one", &one).quoted("msg", &two).optional("no", None).finish();
            prop_assert_eq!(text.lines().count(), 1);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value, serde_json::json!({ "one": one, "msg": two, "no": null }));
        }
    }
}
