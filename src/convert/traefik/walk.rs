//! A map of YAML, name by name: whatever nobody knows is said.

use crate::convert::report::{Place, Remark, Report, Verdict};
use crate::convert::tree::{Node, Value};

/// Where a part stands, and how people name it.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The file.
    pub file: &'a str,
    /// `http.routers.app`.
    pub path: String,
    /// The part itself.
    pub node: &'a Node,
}

/// It is taken as it is.
pub fn same() -> Option<Remark> {
    Some((Verdict::Same, String::new()))
}

/// It differs in this.
pub fn differs(how: &str) -> Option<Remark> {
    Some((Verdict::Differs, how.to_owned()))
}

/// It can't be said; there is this instead.
pub fn not_here(what: &str) -> Option<Remark> {
    Some((Verdict::NotHere, what.to_owned()))
}

/// It has nothing to say here.
pub fn ignored(why: &str) -> Option<Remark> {
    Some((Verdict::Ignored, why.to_owned()))
}

impl<'a> Part<'a> {
    /// The part of this name.
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

    /// Asks for each part what becomes of it; `None` is not known. `Some` with nothing to tell was told already.
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

    /// A row of the report.
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

    /// Its place.
    pub fn place(&self) -> Place {
        Place { file: self.file.to_owned(), line: self.node.line }
    }
}

const TOLD: &str = "\u{0}told";

/// Its own parts are rows of the report.
pub fn told() -> Option<Remark> {
    Some((Verdict::Same, TOLD.to_owned()))
}
