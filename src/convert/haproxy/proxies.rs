//! Proxies with what `defaults` hand down.

use std::collections::HashMap;

use super::syntax::{Line, Section};

/// A `frontend`, `backend` or `listen` with what its `defaults` say.
pub struct Proxy<'a> {
    /// Its first line.
    pub head: &'a Line,
    /// The others.
    pub lines: Vec<&'a Line>,
    /// How many of them are from `defaults`.
    pub inherited: usize,
}

impl Proxy<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        self.head.word(1)
    }

    /// Whether it is one of these.
    pub fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.head.word(0))
    }

    /// Whether it is not HTTP.
    pub fn mode_is_tcp(&self) -> bool {
        let mode = self.lines.iter().rev().find(|line| line.word(0) == "mode");
        mode.is_none_or(|line| line.word(1) == "tcp")
    }
}

/// Each with the lines of the `defaults` that it names, or else of those before it.
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
