//! logfmt: `key=value` pairs on one line. What a client sent can't forge a line or a field, for every
//! value goes through [`Line::field`], which quotes and escapes all that is not plain.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::time::SystemTime;

/// One line under construction, without its line end.
#[derive(Default)]
pub struct Line {
    text: String,
}

impl Line {
    /// An empty line.
    pub fn new() -> Line {
        Line { text: String::with_capacity(256) }
    }

    /// A line that begins with the time. Room for a whole access line.
    pub fn at(time: SystemTime) -> Line {
        let mut line = Line { text: String::with_capacity(384) };
        let _ = write!(line.text, "{}", humantime::format_rfc3339_millis(time));
        line
    }

    /// Adds a pair; the value is quoted where it needs to be. Keys are ours and plain.
    pub fn field(&mut self, key: &str, value: &dyn Display) -> &mut Line {
        self.key(key);
        let start = self.text.len();
        // Writing to a String can't fail; a Display that errs leaves what it wrote.
        let _ = write!(self.text, "{value}");
        if !self.text[start..].bytes().all(is_plain) || self.text.len() == start {
            let value = self.text.split_off(start);
            self.push_quoted(&value);
        }
        self
    }

    /// Adds a pair whose value is quoted even where it need not be.
    pub fn quoted(&mut self, key: &str, value: &str) -> &mut Line {
        self.key(key);
        self.push_quoted(value);
        self
    }

    /// The line so far; leaves an empty one.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn key(&mut self, key: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(key);
        self.text.push('=');
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
                    let _ = write!(self.text, "\\u{{{:x}}}", c as u32);
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

/// Bytes that stand for themselves in a bare value.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\')
}

/// Controls, and the characters that end a line or (Unicode's `Bidi_Control`) turn its direction in some
/// terminals.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Reads a line back into its pairs; the inverse of [`Line`], for tests and for reading access logs.
/// `None` where the text is not such a line.
pub fn parse(line: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (key, value, after) = first_pair(rest)?;
        pairs.push((key.to_owned(), value.into_owned()));
        rest = after;
    }
    Some(pairs)
}

/// The first pair of a line that is not empty, and what follows it. Copies only what is escaped, so that
/// a million lines can be read in a second.
pub fn first_pair(line: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (key, after) = line.split_once('=')?;
    let (value, after) = match after.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = after.find(' ').unwrap_or(after.len());
            (Cow::Borrowed(&after[..end]), &after[end..])
        }
    };
    let rest = match after.strip_prefix(' ') {
        Some(next) => next,
        None if after.is_empty() => "",
        None => return None,
    };
    Some((key, value, rest))
}

/// The text up to the closing quote, unescaped, and what follows.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let special = text.find(['"', '\\'])?;
    if text.as_bytes()[special] == b'"' {
        return Some((Cow::Borrowed(&text[..special]), &text[special + 1..]));
    }
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'u' => {
                    let (digits, _) = text[at + 2..].strip_prefix('{')?.split_once('}')?;
                    value.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    characters.nth(digits.len() + 1)?;
                }
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(value: &str) -> String {
        Line::new().field("a", &value).field("b", &1).finish()
    }

    #[test]
    fn plain_values_stay_bare() {
        assert_eq!(line("http://localhost:3002/x?y"), "a=http://localhost:3002/x?y b=1");
        assert_eq!(line("x=y"), "a=\"x=y\" b=1");
        assert_eq!(line(""), "a=\"\" b=1");
    }

    #[test]
    fn a_value_can_not_end_its_line_or_start_a_field() {
        assert_eq!(line("x\nlevel=ERROR \"q\" \\"), r#"a="x\nlevel=ERROR \"q\" \\" b=1"#);
        assert_eq!(line("\u{2028}\u{1b}[31m"), "a=\"\\u{2028}\\u{1b}[31m\" b=1");
        assert_eq!(line("\u{61c}\u{202e}"), "a=\"\\u{61c}\\u{202e}\" b=1");
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
        fn parse_never_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
