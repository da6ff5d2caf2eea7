//! One file being read: its text and the mistakes found so far. Knows where things are; what they mean
//! is for `raw` and `resolve`.

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::error::{ConfigErrors, Mistake};
use super::{Variables, syntax};

/// A report longer than this helps nobody; a bad file must not fill the log either.
const MAX_REPORTED: usize = 100;

/// The text, and what was found out about it so far. Every value that is read holds a reference to
/// its document and may add to it, hence the cells.
pub(super) struct Document<'d> {
    text: &'d str,
    /// The whole file, without what may stand before it.
    pub root: &'d str,
    /// What `${NAME}` stands for.
    pub variables: &'d Variables,
    found: RefCell<Vec<Found>>,
    /// Where values stand that are not known; whatever else is said of one would be of no use.
    unknown: RefCell<HashSet<usize>>,
}

struct Found {
    path: String,
    /// Offset into the text; `None` where a variable or flag is at fault.
    offset: Option<usize>,
    message: String,
}

impl<'d> Document<'d> {
    /// Checks the syntax; the first violation is the only mistake then. serde_json does this without
    /// recursion, and nothing here recurses deeper than a configuration is, so no depth of nesting
    /// can exhaust the stack.
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

    /// A mistake in a value that a variable or flag gave.
    pub fn override_mistake(&self, source: &str, message: String) {
        self.found.borrow_mut().push(Found { path: source.to_string(), offset: None, message });
    }

    /// A mistake in the value `raw`, which is a slice of the text.
    pub fn mistake(&self, path: &str, raw: &str, message: String) {
        let offset = self.offset_of(raw);
        if !self.unknown.borrow().contains(&offset) {
            self.add(path, offset, message);
        }
    }

    /// What stands in the file is no value, for the environment does not say what it is.
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

    /// What was found, in the file's order; `Ok` if it was nothing.
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
