//! What became of each directive: a table for people, or JSON for programs.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

/// What became of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It holds here as it did there.
    Same,
    /// It holds, but not in everything.
    Differs,
    /// It can't be said here.
    NotHere,
    /// It has nothing to say about a load balancer, or is so anyway.
    Ignored,
}

/// What became of a line, and what people should know of it.
pub type Remark = (Verdict, String);

impl Verdict {
    /// As the report says it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::NotHere => "not here",
            Verdict::Ignored => "ignored",
        }
    }
}

/// Where a directive stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Place {
    /// The file; empty for what no file says.
    pub file: String,
    /// Its line, from 1; 0 for what no file says.
    pub line: usize,
}

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    /// Where.
    pub place: Place,
    /// Its words.
    pub directive: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How it differs, what there is instead, or why it is ignored.
    pub note: String,
}

/// All of them, in the order in which they were read.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    seen: HashSet<Row>,
}

/// A directive is shown up to this many characters.
const SHOWN_CHARS: usize = 60;

impl Report {
    /// One more.
    pub fn note(&mut self, place: &Place, directive: &str, verdict: Verdict, note: impl Into<String>) {
        // A note may have a word of the file in it.
        let note = plain(&note.into());
        let row = Row { place: place.clone(), directive: shown(directive), verdict, note };
        // What is handed down is read once for each who gets it.
        if self.seen.insert(row.clone()) {
            self.rows.push(row);
        }
    }

    /// What the old program does without being told to.
    pub fn unsaid(&mut self, directive: &str, verdict: Verdict, note: impl Into<String>) {
        self.note(&Place::default(), directive, verdict, note);
    }

    /// In the order of the lines; what no file says comes last.
    pub fn sort(&mut self) {
        let files: Vec<String> = self.rows.iter().map(|row| row.place.file.clone()).collect();
        let number = |row: &Row| files.iter().position(|file| *file == row.place.file);
        self.rows.sort_by_key(|row| (row.place.line == 0, number(row), row.place.line));
    }

    /// How many there are of a kind.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// One line a row, and how many of each kind.
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

    /// For `--report json`: a list of objects.
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

/// On one line, without what would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same, and not too long.
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
