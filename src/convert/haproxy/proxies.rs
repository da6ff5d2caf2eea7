//! Proxies with the lines that they inherit from `defaults`.

use std::collections::HashMap;

use super::syntax::{Line, Section};
use crate::convert::text::MOST_DIRECTIVES;

/// Limit of lines that proxies have from `defaults`, all together.
const MOST_INHERITED: usize = 10 * MOST_DIRECTIVES;

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
///
/// # Errors
/// They inherit too much: each `defaults` may be longer than the one that it is from.
pub fn proxies(sections: &[Section]) -> Result<Vec<Proxy<'_>>, String> {
    let mut count = 0;
    let mut last: Vec<&Line> = Vec::new();
    let mut named: HashMap<&str, Vec<&Line>> = HashMap::new();
    let mut all = Vec::new();
    for section in sections {
        let from =
            section.head.words.iter().position(|word| word == "from").map(|at| section.head.word(at + 1));
        let inherited = from.and_then(|name| named.get(name)).cloned();
        let inherited_lines = inherited.as_ref().map_or(last.len(), Vec::len);
        count += inherited_lines;
        if count > MOST_INHERITED {
            let place = &section.head.place;
            return Err(format!("{}:{}: too many lines with those of `defaults`", place.file, place.line));
        }
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
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inherited_is_bounded() {
        let mut text = "defaults d0\n mode http\n".to_owned();
        for number in 1..1000 {
            text.push_str(&format!("defaults d{number} from d{}\n retries 1\n", number - 1));
        }
        let sections = super::super::syntax::read(&text, "h.cfg").unwrap();
        let error = proxies(&sections).err().unwrap_or_default();
        assert!(error.ends_with("too many lines with those of `defaults`"), "{error}");
        // One that is from itself inherits what was there before it.
        let text = "defaults a from a\n mode http\nbackend b from a\n";
        let sections = super::super::syntax::read(text, "h.cfg").unwrap();
        assert_eq!(proxies(&sections).unwrap()[0].inherited, 1);
    }
}
