//! Walks a YAML map name by name and reports unknown names.

use crate::convert::report::{Place, Remark, Report, Verdict};
use crate::convert::tree::{Node, Value};

/// A part of a file, with its position and path.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The file.
    pub file: &'a str,
    /// The path, such as `http.routers.app`.
    pub path: String,
    /// The node.
    pub node: &'a Node,
}

/// The part has the same effect here.
pub fn same() -> Option<Remark> {
    Some((Verdict::Same, String::new()))
}

/// The part has an effect that differs in this respect.
pub fn differs(how: &str) -> Option<Remark> {
    Some((Verdict::Differs, how.to_owned()))
}

/// We can't express the part; `what` is the replacement.
pub fn not_here(what: &str) -> Option<Remark> {
    Some((Verdict::NotHere, what.to_owned()))
}

/// The part has no meaning here.
pub fn ignored(why: &str) -> Option<Remark> {
    Some((Verdict::Ignored, why.to_owned()))
}

impl<'a> Part<'a> {
    /// The part with this name.
    pub fn get(&self, name: &str) -> Option<Part<'a>> {
        self.node.get(name).map(|node| Part { file: self.file, path: self.joined(name), node })
    }

    /// All parts with their names.
    pub fn entries(&self) -> Vec<(&'a str, Part<'a>)> {
        let part = |(name, node): &'a (String, Node)| {
            (name.as_str(), Part { file: self.file, path: self.joined(name), node })
        };
        self.node.entries().iter().map(part).collect()
    }

    fn joined(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Calls `take` for each part and adds a row with its result; `None` means an unknown name. [`told`] adds
    /// no row.
    pub fn each(
        &self,
        report: &mut Report,
        mut take: impl FnMut(&str, &Part<'a>, &mut Report) -> Option<Remark>,
    ) {
        for (name, part) in self.entries() {
            match take(name, &part, report) {
                Some((verdict, note)) if note != TOLD => part.note(report, verdict, note),
                Some(_) => {}
                None => part.note(report, Verdict::NotHere, "this word is not known here"),
            }
        }
    }

    /// Adds a row for this part to the report.
    pub fn note(&self, report: &mut Report, verdict: Verdict, note: impl Into<String>) {
        let place = Place { file: self.file.to_owned(), line: self.node.line };
        let text = match &self.node.value {
            Value::Text(text) => format!("{}: {text}", self.path),
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Text(_))) => {
                format!("{}: {}", self.path, self.node.shown())
            }
            _ => self.path.clone(),
        };
        report.note(&place, &text, verdict, note);
    }

    /// The position of this part.
    pub fn place(&self) -> Place {
        Place { file: self.file.to_owned(), line: self.node.line }
    }
}

const TOLD: &str = "\u{0}told";

/// No row for a part whose own parts have rows.
pub fn told() -> Option<Remark> {
    Some((Verdict::Same, TOLD.to_owned()))
}
