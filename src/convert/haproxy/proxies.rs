//! Proxies with the lines that they inherit from `defaults`.

use std::collections::HashMap;

use super::syntax::{Line, Section};

/// A `frontend`, `backend` or `listen` section with its inherited lines.
pub struct Proxy<'a> {
    /// The first line of the section.
    pub head: &'a Line,
    /// The other lines, beginning with the inherited ones.
    pub lines: Vec<&'a Line>,
    /// Number of inherited lines.
    pub inherited: usize,
}

impl Proxy<'_> {
    /// The section's name.
    pub fn name(&self) -> &str {
        self.head.word(1)
    }

    /// Whether the section is one of these kinds.
    pub fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.head.word(0))
    }

    /// Whether its mode is not HTTP.
    pub fn mode_is_tcp(&self) -> bool {
        let mode = self.lines.iter().rev().find(|line| line.word(0) == "mode");
        mode.is_none_or(|line| line.word(1) == "tcp")
    }
}

/// The proxies, each with the lines of the `defaults` that it names, or else of the preceding one.
pub fn proxies(sections: &[Section]) -> Vec<Proxy<'_>> {
    let mut last: Vec<&Line> = Vec::new();
    let mut named: HashMap<&str, Vec<&Line>> = HashMap::new();
    let mut all = Vec::new();
    for section in sections {
        let from =
            section.head.words.iter().position(|word| word == "from").map(|at| section.head.word(at + 1));
        let inherited = from.and_then(|name| named.get(name)).cloned();
        match section.head.word(0) {
            "defaults" => {
                let mut lines = inherited.unwrap_or_default();
                lines.extend(&section.lines);
                named.insert(section.head.word(1), lines.clone());
                last = lines;
            }
            "frontend" | "backend" | "listen" => {
                let mut lines = inherited.unwrap_or_else(|| last.clone());
                let inherited = lines.len();
                lines.extend(&section.lines);
                all.push(Proxy { head: &section.head, lines, inherited });
            }
            _ => {}
        }
    }
    all
}
