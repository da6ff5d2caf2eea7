//! The report on each directive: a table for people, or JSON for programs.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

/// The result for a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Has the same effect here.
    Same,
    /// Has an effect that differs in some respect.
    Differs,
    /// Can't be expressed here.
    NotHere,
    /// Has no meaning for a load balancer, or applies anyway.
    Ignored,
}

/// The result for a line, with a note for the user.
pub type Remark = (Verdict, String);

impl Verdict {
    /// The word in the report.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::NotHere => "not here",
            Verdict::Ignored => "ignored",
        }
    }
}

/// The position of a directive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Place {
    /// The file; empty for an implicit default.
    pub file: String,
    /// The line, from 1; 0 for an implicit default.
    pub line: usize,
}

/// One row of the report.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    /// The position.
    pub place: Place,
    /// The directive's words.
    pub directive: String,
    /// The result.
    pub verdict: Verdict,
    /// The difference, the replacement, or the reason for ignoring it.
    pub note: String,
}

/// All rows in the order in which they were added.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    seen: HashSet<Row>,
}

/// A directive is shortened to this many characters.
const SHOWN_CHARS: usize = 60;

impl Report {
    /// Adds a row.
    pub fn note(&mut self, place: &Place, directive: &str, verdict: Verdict, note: impl Into<String>) {
        // The note may contain words of the file.
        let note = plain(&note.into());
        let row = Row { place: place.clone(), directive: shown(directive), verdict, note };
        // An inherited directive is read once for each level that inherits it.
        if self.seen.insert(row.clone()) {
            self.rows.push(row);
        }
    }

    /// Adds a row for an implicit default of the old program.
    pub fn unsaid(&mut self, directive: &str, verdict: Verdict, note: impl Into<String>) {
        self.note(&Place::default(), directive, verdict, note);
    }

    /// Sorts by position; implicit defaults come last.
    pub fn sort(&mut self) {
        let files: Vec<String> = self.rows.iter().map(|row| row.place.file.clone()).collect();
        let number = |row: &Row| files.iter().position(|file| *file == row.place.file);
        self.rows.sort_by_key(|row| (row.place.line == 0, number(row), row.place.line));
    }

    /// Number of rows with this result.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// One line for each row, and the number of rows for each result.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let place = |row: &Row| match row.place.line {
            0 => "not said".to_owned(),
            line => format!("{}:{line}", plain(&row.place.file)),
        };
        let widest = |of: &dyn Fn(&Row) -> usize| self.rows.iter().map(of).max().unwrap_or(0);
        let (places, directives) =
            (widest(&|row| place(row).chars().count()), widest(&|row| row.directive.chars().count()));
        for row in &self.rows {
            let line = format!(
                "{:places$}  {:directives$}  {:8}  {}",
                place(row),
                row.directive,
                row.verdict.word(),
                row.note
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "\n{} same, {} different, {} not here, {} ignored",
            self.count(Verdict::Same),
            self.count(Verdict::Differs),
            self.count(Verdict::NotHere),
            self.count(Verdict::Ignored)
        );
        text
    }

    /// The rows as a list of objects, for `--report json`.
    pub fn json(&self) -> Json {
        let row = |row: &Row| {
            json!({
                "file": (row.place.line > 0).then_some(&row.place.file),
                "line": (row.place.line > 0).then_some(row.place.line),
                "directive": row.directive,
                "verdict": row.verdict.word(),
                "note": row.note,
            })
        };
        self.rows.iter().map(row).collect()
    }
}

/// Replaces control characters, which could break the line or move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same, shortened.
fn shown(text: &str) -> String {
    let plain = plain(text);
    match plain.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_whatever_stands_in_it() {
        let mut report = Report::default();
        let place = Place { file: "\u{1b}a.conf".into(), line: 7 };
        report.note(
            &place,
            &format!("x\n\u{1b}[2J{}", "y".repeat(100)),
            Verdict::NotHere,
            "no acl \u{1b}[2J",
        );
        report.unsaid("z", Verdict::Same, "");
        let text = report.text();
        assert_eq!(text.lines().count(), 4);
        assert!(!text.contains('\u{1b}') && text.contains("a.conf:7") && text.contains("not said"), "{text}");
        assert!(text.ends_with("1 same, 0 different, 1 not here, 0 ignored\n"));
        assert_eq!(report.json()[0]["line"], 7);
    }
}
