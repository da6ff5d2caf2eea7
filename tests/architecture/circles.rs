//! No file imports another that imports it back, in however many steps. What a `mod.rs` only passes on (`pub use`) is
//! imported from the file that has it.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

/// A module's path below the crate, as `["pool", "lease"]`.
type Module = Vec<String>;

/// Code without tests and comments, by its file below `src`.
pub struct Tree {
    files: BTreeMap<Module, (String, String)>,
    use_of: Regex,
    path_of: Regex,
    relative: Regex,
}

impl Tree {
    /// Of files (`pool/mod.rs`) and what stands in them.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Tree {
        let files = files.into_iter().map(|(file, code)| (module_of(&file), (file, code))).collect();
        Tree {
            files,
            use_of: Regex::new(r"(?m)^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);").unwrap(),
            path_of: Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").unwrap(),
            relative: Regex::new(r"(?:^|[^:\w])(\w+)::\w").unwrap(),
        }
    }

    /// Each group of files that import each other, with who imports whom.
    pub fn circles(&self) -> Vec<String> {
        let imports: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, self.imports(module))).collect();
        let mut edges = Vec::new();
        for (from, all) in &imports {
            for to in all.iter().filter(|to| reached(&imports, to).contains(from)) {
                edges.push(format!("{} imports {}", self.files[*from].0, self.files[*to].0));
            }
        }
        edges
    }

    fn imports(&self, module: &Module) -> BTreeSet<&Module> {
        let code = &self.files[module].1;
        let rest = self.use_of.replace_all(code, "");
        let mut paths = Vec::new();
        for found in self.use_of.captures_iter(code) {
            let names = expanded(&found[2]);
            // What is only passed on is nothing that this file needs.
            let is_passed_on = found.get(1).is_some();
            let is_needed =
                |path: &String| !is_passed_on || has_word(&rest, path.rsplit("::").next().unwrap());
            paths.extend(names.into_iter().filter(is_needed));
        }
        paths.extend(self.path_of.find_iter(&rest).map(|found| found.as_str().to_owned()));
        // `child::function()`; what is no child is some library's.
        let words = self.relative.captures_iter(&rest).map(|found| found[1].to_owned());
        paths.extend(words.filter(|word| self.files.contains_key(&child_of(module, word))));
        let files = paths.iter().filter_map(|path| self.resolve(module, path));
        files.filter(|file| *file != module).collect()
    }

    /// The file that has what this path names; `None` where it is no path of this crate.
    fn resolve(&self, module: &Module, path: &str) -> Option<&Module> {
        let words: Vec<String> = path.split("::").map(str::to_owned).collect();
        let is_ours = matches!(words[0].as_str(), "crate" | "super" | "self")
            || self.files.contains_key(&child_of(module, &words[0]));
        let file = is_ours.then(|| self.walk(module.clone(), &words, 0))?;
        // The crate itself is a list of its parts.
        self.files.get_key_value(&file).map(|(file, _)| file).filter(|file| !file.is_empty())
    }

    fn walk(&self, mut at: Module, words: &[String], depth: usize) -> Module {
        for (place, word) in words.iter().enumerate() {
            match word.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => _ = at.pop(),
                _ if self.files.contains_key(&child_of(&at, word)) => at.push(word.clone()),
                _ => {
                    // A limit, because two modules may pass on each other's names.
                    return match self.passed_on(&at, word).filter(|_| depth < 8) {
                        Some(from) => self.walk(at, &[from, words[place + 1..].to_vec()].concat(), depth + 1),
                        None => at,
                    };
                }
            }
        }
        at
    }

    /// Where a module has a name from that it passes on.
    fn passed_on(&self, module: &Module, name: &str) -> Option<Vec<String>> {
        let (_, code) = self.files.get(module)?;
        let uses = self.use_of.captures_iter(code).filter(|found| found.get(1).is_some());
        let paths = uses.flat_map(|found| expanded(&found[2]).into_iter().collect::<Vec<_>>());
        let mut named = paths.filter(|path| path.rsplit("::").next() == Some(name));
        named.next().map(|path| path.split("::").map(str::to_owned).collect())
    }
}

/// All that a file imports, and what that imports.
fn reached<'a>(
    imports: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    from: &'a Module,
) -> BTreeSet<&'a Module> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        open.extend(imports[module].iter().filter(|next| seen.insert(**next)));
    }
    seen
}

fn child_of(module: &Module, word: &str) -> Module {
    [module.clone(), vec![word.to_owned()]].concat()
}

fn module_of(file: &str) -> Module {
    let mut words: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(words.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        words.pop();
    }
    words
}

fn has_word(code: &str, word: &str) -> bool {
    Regex::new(&format!(r"\b{}\b", regex::escape(word))).unwrap().is_match(code)
}

/// The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((before, inside)) = tree.split_once('{') else {
        let path =
            tree.split(" as ").next().unwrap().trim().trim_end_matches("::self").trim_end_matches("::*");
        return vec![path.to_owned()];
    };
    let inside = inside.trim_end().trim_end_matches('}');
    let (mut parts, mut depth, mut part) = (Vec::new(), 0, String::new());
    for letter in inside.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part);
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| expanded(&format!("{}{part}", before.trim()))).collect()
}

fn tree(files: &[(&str, &str)]) -> Vec<String> {
    Tree::new(files.iter().map(|(file, code)| (file.to_string(), code.to_string()))).circles()
}

#[test]
fn circles_are_found_through_folders_and_past_what_is_passed_on() {
    let none = tree(&[
        ("lib.rs", "pub mod a;\npub mod b;"),
        ("a/mod.rs", "mod leaf;\nmod user;\npub use leaf::Leaf;\npub use user::User;"),
        ("a/leaf.rs", "pub struct Leaf;"),
        ("a/user.rs", "use crate::a::Leaf;\nuse super::leaf;"),
        ("b.rs", "use crate::a::{Leaf, User};"),
    ]);
    assert!(none.is_empty(), "{none:?}");
    let through_a_facade = tree(&[
        ("a/mod.rs", "mod one;\nmod two;\npub use one::One;\npub use two::Two;"),
        ("a/one.rs", "use crate::a::Two;"),
        ("a/two.rs", "fn f() -> super::One {}"),
    ]);
    assert_eq!(through_a_facade, ["a/one.rs imports a/two.rs", "a/two.rs imports a/one.rs"]);
    let with_the_parent = tree(&[
        ("a/mod.rs", "mod child;\npub use child::Child;\npub trait Link {}\nfn all() -> Child {}"),
        ("a/child.rs", "use super::Link;"),
    ]);
    assert_eq!(with_the_parent, ["a/mod.rs imports a/child.rs", "a/child.rs imports a/mod.rs"]);
    let by_a_call = tree(&[
        ("a/mod.rs", "mod child;\nfn f() { child::g() }\nconst C: u8 = 1;"),
        ("a/child.rs", "fn g() -> u8 { super::C }"),
    ]);
    assert_eq!(by_a_call.len(), 2, "{by_a_call:?}");
    let in_three_steps =
        tree(&[("a.rs", "use crate::b;"), ("b.rs", "use crate::c::X;"), ("c.rs", "use crate::a as it;")]);
    assert_eq!(in_three_steps.len(), 3);
}
