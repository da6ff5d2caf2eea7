//! Parses logfmt: `key=value` pairs on one line, as written by [`super::line::Line`].

use std::borrow::Cow;

/// Parses a line into its pairs, for tests and for reading access logs. `None` if the text is not such a
/// line.
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

/// The first pair of a line that is not empty, and the text after it. Copies only values with escapes, so
/// that a million lines can be read in a second.
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

/// The unescaped text up to the closing quote, and the text after it.
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

    proptest! {
        #[test]
        fn parse_never_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
