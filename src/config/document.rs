//! A file being read: its text and the mistakes found so far. Knows positions in the text; `raw` and
//! `resolve` know what the values mean.

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::error::{ConfigErrors, Mistake};
use super::{Variables, syntax};

/// Limit of reported mistakes: a longer report is no help, and a bad file must not fill the log.
const MAX_REPORTED: usize = 100;

/// The text and the mistakes found so far. Every value being read refers to its document and may add
/// mistakes, hence the cells.
pub(super) struct Document<'d> {
    text: &'d str,
    /// The JSON text of the whole file, without a byte order mark.
    pub root: &'d str,
    /// The values of `${NAME}`.
    pub variables: &'d Variables,
    found: RefCell<Vec<Found>>,
    /// Offsets of values with unknown variables; no other mistake is reported for them.
    unknown: RefCell<HashSet<usize>>,
}

struct Found {
    path: String,
    /// Offset into the text; `None` if the mistake is in a variable or flag.
    offset: Option<usize>,
    message: String,
}

impl<'d> Document<'d> {
    /// Checks the syntax; a syntax error is reported alone. serde_json does this without recursion, and no
    /// code here recurses deeper than a valid configuration, so that deep nesting can't exhaust the stack.
    pub fn new(text: &'d str, variables: &'d Variables) -> Result<Document<'d>, ConfigErrors> {
        let json = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root: &RawValue = serde_json::from_str(json)
            .map_err(|error| ConfigErrors::new(vec![syntax::mistake(json, &error)]))?;
        Ok(Document {
            text,
            root: root.get(),
            variables,
            found: RefCell::default(),
            unknown: RefCell::default(),
        })
    }

    /// Adds a mistake in a value from a variable or flag.
    pub fn override_mistake(&self, source: &str, message: String) {
        self.found.borrow_mut().push(Found { path: source.to_string(), offset: None, message });
    }

    /// Adds a mistake in the value `raw`, which must be a slice of the text.
    pub fn mistake(&self, path: &str, raw: &str, message: String) {
        let offset = self.offset_of(raw);
        if !self.unknown.borrow().contains(&offset) {
            self.add(path, offset, message);
        }
    }

    /// Adds the mistake that a value refers to a variable missing in the environment.
    pub fn unknown(&self, path: &str, raw: &str, message: String) {
        let offset = self.offset_of(raw);
        if self.unknown.borrow_mut().insert(offset) {
            self.add(path, offset, message);
        }
    }

    fn add(&self, path: &str, offset: usize, message: String) {
        let found = Found { path: path.to_string(), offset: Some(offset), message };
        self.found.borrow_mut().push(found);
    }

    fn offset_of(&self, raw: &str) -> usize {
        (raw.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    /// Returns the mistakes in the file's order; `Ok` if there are none.
    pub fn finish(self) -> Result<(), ConfigErrors> {
        let mut found = self.found.into_inner();
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by_key(|found| found.offset.unwrap_or(usize::MAX));
        let unreported = found.len().saturating_sub(MAX_REPORTED);
        found.truncate(MAX_REPORTED);
        let mut lines = LineCounter { text: self.text, offset: 0, line: 1 };
        let mut mistakes: Vec<Mistake> = found
            .into_iter()
            .map(|Found { path, offset, message }| Mistake {
                path,
                line: offset.map(|offset| lines.advance_to(offset)),
                message,
            })
            .collect();
        if unreported > 0 {
            let message = format!("and {unreported} more");
            mistakes.push(Mistake { path: String::new(), line: None, message });
        }
        Err(ConfigErrors::new(mistakes))
    }
}

/// Counts lines in one pass over the text, for offsets that ascend.
struct LineCounter<'d> {
    text: &'d str,
    offset: usize,
    line: usize,
}

impl LineCounter<'_> {
    fn advance_to(&mut self, offset: usize) -> usize {
        let passed = self.text.as_bytes().get(self.offset..offset).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.offset = offset.max(self.offset);
        self.line
    }
}
