//! Explains JSON syntax errors in plain words instead of the parser's.

use super::error::Mistake;

/// The mistake for an error from serde_json.
pub(super) fn mistake(json: &str, error: &serde_json::Error) -> Mistake {
    let mistake = |line, message| Mistake { path: String::new(), line: Some(line), message };
    if json.trim().is_empty() {
        return mistake(1, "empty; write at least {}".to_string());
    }
    let (line, column) = (error.line(), error.column());
    if error.is_eof() {
        let (opened, what) = unclosed(json);
        return mistake(opened, format!("not valid JSON: {what}"));
    }
    let place = format!(" at line {line} column {column}");
    let text = error.to_string();
    let parsers_words = text.strip_suffix(&place).unwrap_or(&text);
    let (before, at) = around(json, line, column);
    if let Some(bracket) = wrong_bracket(before, at, parsers_words) {
        return mistake(line, format!("not valid JSON: {bracket} (column {column})"));
    }
    let reason = in_plain_words(before, at, parsers_words).unwrap_or(parsers_words);
    mistake(line, format!("not valid JSON: {reason} (column {column})"))
}

/// Splits the text at the position that the parser reports.
fn around(json: &str, line: usize, column: usize) -> (&str, &str) {
    let above: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let offset = (above + column).saturating_sub(1);
    json.split_at_checked(offset).unwrap_or((json, ""))
}

/// Detects a list closed while an object in it is still open, or the reverse.
fn wrong_bracket(before: &str, at: &str, parsers_words: &str) -> Option<String> {
    let closing = at.chars().next().filter(|c| matches!(c, ']' | '}'))?;
    let is_another = parsers_words.starts_with("expected `,` or ") && !before.trim_end().ends_with(',');
    is_another.then(|| {
        let (opened, _) = unclosed(before);
        let opening = if closing == ']' { '{' } else { '[' };
        format!("this {closing} comes too early: the {opening} of line {opened} is still open")
    })
}

/// Descriptions of common slips; `None` for others.
fn in_plain_words(before: &str, at: &str, parsers_words: &str) -> Option<&'static str> {
    let ends_in_a_comma = before.trim_end().ends_with(',');
    let starts_a_comment = at.starts_with('#') || at.starts_with("//") || at.starts_with("/*");
    Some(match parsers_words {
        _ if ends_in_a_comma && at.starts_with(['}', ']']) => "a comma with nothing after it",
        _ if starts_a_comment => "a comment, and JSON has none; leave it out",
        _ if at.starts_with('\'') => "single quotes; JSON has double ones, \"like this\"",
        _ if at.starts_with(['\u{201c}', '\u{201d}']) => {
            "curly quotes; JSON has straight ones, \"like this\""
        }
        "key must be a string" => "a field's name without double quotes around it",
        "expected `,` or `}`" | "expected `,` or `]`" => "a comma is missing before this",
        "expected `:`" => "a colon is missing after the field's name",
        "expected value" | "expected ident" => {
            "neither a text in double quotes nor a number, true, false, null, a list or an object"
        }
        "trailing characters" => "something stands after the end of the configuration",
        "invalid escape" => "a backslash that means nothing in JSON; a backslash itself is written \\\\",
        "invalid number" => "not a number as JSON has them",
        words if words.starts_with("control character") => {
            "a text that does not end on its line; are its closing quotes missing?"
        }
        _ => return None,
    })
}

/// What is still open at the end of the text, and the line where it began.
fn unclosed(json: &str) -> (usize, String) {
    let (mut open, mut line) = (Vec::new(), 1);
    let mut text_since = None;
    let mut is_escaped = false;
    for byte in json.bytes() {
        match (text_since, byte) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), b'\\') => is_escaped = true,
            (Some(_), b'"') => text_since = None,
            (None, b'"') => text_since = Some(line),
            (None, b'{' | b'[') => open.push((line, char::from(byte))),
            (None, b'}' | b']') => _ = open.pop(),
            _ => {}
        }
        line += usize::from(byte == b'\n');
    }
    match (text_since, open.pop()) {
        (Some(line), _) => (line, "a text that begins here has no closing quotes".to_owned()),
        (None, Some((line, bracket))) => (line, format!("the {bracket} of this line is never closed")),
        (None, None) => (line, "it ends in the middle of something".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Overrides, parse};

    #[track_caller]
    fn check(text: &str, line: usize, words: &str) {
        let errors = parse(text, &Overrides::default()).unwrap_err();
        let [mistake] = errors.mistakes() else { panic!("one mistake: {errors}") };
        assert_eq!(mistake.line, Some(line), "{errors}");
        assert!(mistake.message.contains(words), "{errors}");
        for jargon in ["EOF", "expected `", "key must", "trailing characters", "control character"] {
            assert!(!mistake.message.contains(jargon), "{errors}");
        }
    }

    #[test]
    fn slips_are_told_in_plain_words() {
        check("{\n  // the port\n  \"workers\": 1\n}", 2, "a comment, and JSON has none");
        check("{\n  \"workers\": 1, /* one */\n}", 2, "a comment");
        check("{\n  # one\n}", 2, "a comment");
        check("{ 'workers': 1 }", 1, "single quotes");
        check("{ \"listen\": ':8080' }", 1, "single quotes");
        check("{ \u{201c}workers\u{201d}: 1 }", 1, "curly quotes");
        check("{ workers: 1 }", 1, "a field's name without double quotes");
        check("{ \"workers\" 1 }", 1, "a colon is missing");
        check("{\n  \"workers\": 1\n  \"via\": true\n}", 3, "a comma is missing before this");
        check("{ \"workers\": 1, }", 1, "a comma with nothing after it");
        check("{ \"listen\": :8080 }", 1, "neither a text in double quotes nor");
        check("{ \"listen\": \":8080\n}", 1, "closing quotes missing");
        check("{} {}", 1, "something stands after the end");
        check("{ \"listen\": \"C:\\lb\" }", 1, "a backslash that means nothing");
    }

    #[test]
    fn what_is_not_closed_is_told_where_it_began() {
        check("{\n  \"limits\": {\n    \"max_queue\": 1\n\n", 2, "the { of this line is never closed");
        check("{\n  \"routes\": [\n", 2, "the [ of this line is never closed");
        check("{\n  \"limits\": {},\n", 1, "the { of this line is never closed");
        check("{ \"listen\": \"a", 1, "no closing quotes");
        let early = "this ] comes too early: the { of line 2 is still open";
        check("{\n  \"backends\": [ { \"url\": \"http://a\" ],\n  \"via\": true\n}", 2, early);
        let early = "this } comes too early: the [ of line 1 is still open";
        check("{ \"trusted_proxies\": [ \"::1\"\n}", 2, early);
        check("", 1, "empty; write at least {}");
    }
}
