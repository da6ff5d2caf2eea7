//! Parses HAProxy's syntax: sections of lines, which consist of words.

use crate::convert::report::Place;
use crate::convert::text::MOST_DIRECTIVES;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line's position.
    pub place: Place,
    /// The words, without quotes.
    pub words: Vec<String>,
}

impl Line {
    /// The word at this index; empty if missing.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The words of the line.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }
}

/// A section and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The first line, such as `frontend clients`.
    pub head: Line,
    /// The other lines.
    pub lines: Vec<Line>,
}

const SECTIONS: [&str; 19] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "resolvers",
    "peers",
    "cache",
    "mailers",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-store",
    "traces",
    "acme",
    "log-profile",
];

/// Parses a text into sections.
///
/// # Errors
/// What can't be read, with its line.
pub fn read(text: &str, file: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    let mut count = 0;
    for (number, line) in text.lines().enumerate() {
        let place = Place { file: file.to_owned(), line: number + 1 };
        let words = words(line).map_err(|why| format!("{file}:{}: {why}", number + 1))?;
        let Some(first) = words.first().cloned() else { continue };
        count += 1;
        if count > MOST_DIRECTIVES {
            return Err(format!("{file}:{}: too many lines", number + 1));
        }
        let line = Line { place, words };
        match sections.last_mut() {
            _ if SECTIONS.contains(&first.as_str()) => {
                sections.push(Section { head: line, lines: Vec::new() })
            }
            Some(section) => section.lines.push(line),
            None => return Err(format!("{file}:{}: {first:?} stands in no section", number + 1)),
        }
    }
    Ok(sections)
}

/// The words of a line, up to a comment.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => {
                let escaped = chars.next().unwrap_or('\\');
                let stays = quote.is_some() && !matches!(escaped, '"' | '\\' | '$' | '#' | ' ');
                let word = word.get_or_insert_default();
                if stays {
                    word.push('\\');
                }
                word.push(match escaped {
                    'n' if !stays => '\n',
                    't' if !stays => '\t',
                    'r' if !stays => '\r',
                    other => other,
                });
            }
            // `$NAME` in double quotes is a variable of the environment; `${NAME}` is the same in our file.
            (Some('"'), '$') if chars.as_str().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                let rest = chars.as_str();
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                word.get_or_insert_default().push_str(&format!("${{{}}}", &rest[..end]));
                chars = rest[end..].chars();
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_quotes_escapes_and_comments() {
        let check = |line: &str, expected: &[&str]| assert_eq!(words(line).unwrap(), expected, "{line}");
        check("  bind :80 # all", &["bind", ":80"]);
        check(
            r#"http-request set-header X "a b" if { path '/x y' }"#,
            &["http-request", "set-header", "X", "a b", "if", "{", "path", "/x y", "}"],
        );
        check(r"a\ b c\#d", &["a b", "c#d"]);
        check(r#"x """#, &["x", ""]);
        check(r#"acl a path_reg "^/v\d+""#, &["acl", "a", "path_reg", r"^/v\d+"]);
        check(r#"bind 0.0.0.0:"$PORT" "${HOST}:x""#, &["bind", "0.0.0.0:${PORT}", "${HOST}:x"]);
        assert!(words("\"").is_err());
    }
}
