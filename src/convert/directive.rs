//! Directives, of which the files of nginx and Caddy consist: words, and blocks of directives.

use super::report::Place;

/// One directive with its block, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The directive's position.
    pub place: Place,
    /// The first word.
    pub name: String,
    /// The other words.
    pub args: Vec<String>,
    /// The directives in braces.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    /// The directive as written, without its block.
    pub fn text(&self) -> String {
        let mut text = self.name.clone();
        for arg in &self.args {
            text.push(' ');
            match arg.is_empty() || arg.contains(char::is_whitespace) {
                true => text.push_str(&format!("{arg:?}")),
                false => text.push_str(arg),
            }
        }
        text
    }

    /// The argument at this index; empty if missing.
    pub fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    /// The directives in braces; none without a block.
    pub fn inside(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}
