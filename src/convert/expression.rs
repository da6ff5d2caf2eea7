//! Regular expressions of other programs: whether ours can have them, and what they find.

use regex::{Regex, RegexBuilder};

/// As the configuration bounds them.
const MOST_BYTES: usize = 1 << 20;

/// The expression; `None` where it can't be said here (look-around, back-references) or would be too large.
pub fn read(expression: &str) -> Option<Regex> {
    RegexBuilder::new(expression).size_limit(MOST_BYTES).build().ok()
}

/// An expression that finds this text.
pub fn literal(text: &str) -> String {
    regex::escape(text)
}
