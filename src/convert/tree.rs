//! Parses YAML, including JSON, into a tree whose nodes have line numbers.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use super::text::{MOST_BYTES, MOST_DEPTH, MOST_DIRECTIVES};

/// A node of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// The content.
    pub value: Value,
}

/// The content of a [`Node`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, number, boolean or null, as written.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Names with their nodes.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The node with this name, in a map.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }

    /// The node at this path of names.
    pub fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, name| node.get(name))
    }

    /// All entries of a map.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// All items of a list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// A single text, or the texts of a list.
    pub fn texts(&self) -> Vec<&str> {
        match &self.value {
            Value::Text(text) => vec![text],
            _ => self.items().iter().map(Node::text).collect(),
        }
    }

    /// The node on one line.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(Node::shown).collect::<Vec<_>>().join(", "))
            }
            Value::Map(entries) => {
                let entry = |(name, node): &(String, Node)| format!("{name}: {}", node.shown());
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn size(&self) -> Size {
        let mut size = Size { nodes: 1, bytes: 0, depth: 0 };
        match &self.value {
            Value::Text(text) => size.bytes = text.len(),
            Value::List(items) => items.iter().for_each(|item| size.take(item.size())),
            Value::Map(entries) => entries.iter().for_each(|(name, node)| {
                size.bytes += name.len();
                size.take(node.size());
            }),
        }
        size
    }
}

/// What a copy of a node costs.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Size {
    /// Adds a part.
    fn take(&mut self, part: Size) {
        self.nodes += part.nodes;
        self.bytes += part.bytes;
        self.depth = self.depth.max(part.depth + 1);
    }
}

/// A node that is still open while events arrive.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<String>,
}

/// Parses the documents in a text. Aliases are copied, which counts towards the limit.
///
/// # Errors
/// What can't be read, with its line.
pub fn read(text: &str, file: &str) -> Result<Vec<Node>, String> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut nodes = 0;
    let mut bytes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| format!("{file}:{}: {}", error.marker().line(), error.info()))?;
        let line = span.start.line();
        let fault = |what: &str| format!("{file}:{line}: {what}");
        let (done, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => {
                (Node { line, value: Value::Text(text.into_owned()) }, anchor)
            }
            Event::Alias(anchor) => {
                let node = anchors.get(&anchor).cloned().ok_or_else(|| fault("an alias of nothing"))?;
                let size = node.size();
                nodes += size.nodes;
                bytes += size.bytes;
                if open.len() + size.depth > MOST_DEPTH {
                    return Err(fault("too deep"));
                }
                (node, 0)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) if open.len() >= MOST_DEPTH => {
                let _ = anchor;
                return Err(fault("too deep"));
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open { node: Node { line, value: Value::List(Vec::new()) }, anchor, key: None });
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open { node: Node { line, value: Value::Map(Vec::new()) }, anchor, key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(closed) => (closed.node, closed.anchor),
                None => return Err(fault("it ends where nothing began")),
            },
            _ => continue,
        };
        nodes += 1;
        if nodes > MOST_DIRECTIVES || bytes as u64 > MOST_BYTES {
            return Err(fault("too many parts"));
        }
        if anchor > 0 {
            anchors.insert(anchor, done.clone());
        }
        match open.last_mut() {
            None => documents.push(done),
            Some(parent) => parent.take(done),
        }
    }
    Ok(documents)
}

impl Open {
    fn take(&mut self, child: Node) {
        match (&mut self.node.value, self.key.take()) {
            (Value::List(items), _) => items.push(child),
            (Value::Map(_), None) => self.key = Some(child.shown()),
            // `<<` merges a map into this one; its own entries take precedence.
            (Value::Map(entries), Some(key)) if key == "<<" => {
                for (name, node) in child.entries() {
                    if !entries.iter().any(|(known, _)| known == name) {
                        entries.push((name.clone(), node.clone()));
                    }
                }
            }
            (Value::Map(entries), Some(key)) => {
                entries.retain(|(known, _)| *known != key);
                entries.push((key, child));
            }
            (Value::Text(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_their_lines() {
        let text = "a:\n  b: 1\n  c: [x, \"y z\"]\nd: &base { e: true }\nf:\n  <<: *base\n  g: ~\n";
        let documents = read(text, "t.yml").unwrap();
        let node = &documents[0];
        assert_eq!(node.at("a.b").map(|it| (it.line, it.text())), Some((2, "1")));
        assert_eq!(node.at("a.c").unwrap().texts(), ["x", "y z"]);
        assert_eq!(node.at("f.e").unwrap().text(), "true");
        assert_eq!(read("{\"a\": [1, {\"b\": null}]}", "t").unwrap()[0].shown(), "{a: [1, {b: null}]}");
    }

    #[test]
    fn what_is_too_deep_or_grows_too_large_is_an_error() {
        assert!(read(&"[".repeat(100), "t").unwrap_err().contains("too deep"));
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(read(&text, "t").unwrap_err().contains("too many parts"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(10_000), "*a, ".repeat(1_000));
        assert!(read(&long, "t").unwrap_err().contains("too many parts"));
        let mut deep = "a0: &a0 x\n".to_owned();
        for level in 1..9 {
            deep.push_str(&format!(
                "a{level}: &a{level} {}*a{}{}\n",
                "[".repeat(20),
                level - 1,
                "]".repeat(20)
            ));
        }
        assert_eq!(read(&deep, "t").unwrap_err(), "t:3: too deep");
        assert!(read("a: [1", "t").unwrap_err().starts_with("t:"));
    }
}
