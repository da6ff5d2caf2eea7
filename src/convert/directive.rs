//! Words and blocks of words: what nginx's files and Caddy's are made of.

use super::report::Place;

/// One directive with its block, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Where it stands.
    pub place: Place,
    /// Its first word.
    pub name: String,
    /// The others.
    pub args: Vec<String>,
    /// What is in its braces.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    /// As it was written, but for its block.
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

    /// The word at this place.
    pub fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    /// What is in its braces; nothing where there are none.
    pub fn inside(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}
