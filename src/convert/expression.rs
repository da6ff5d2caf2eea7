//! Regular expressions of other programs: whether we support them, and what they match.

use regex::{Regex, RegexBuilder};

/// The same memory limit as in the configuration.
const MOST_BYTES: usize = 1 << 20;

/// Compiles the expression; `None` if we don't support it (look-around, back-references) or it is too large.
pub fn read(expression: &str) -> Option<Regex> {
    RegexBuilder::new(expression).size_limit(MOST_BYTES).build().ok()
}

/// An expression that matches this text literally.
pub fn literal(text: &str) -> String {
    regex::escape(text)
}
