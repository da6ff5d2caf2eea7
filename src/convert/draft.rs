//! Our configuration while it is being written. Parts are JSON objects, as they will stand in the file; a field is
//! named by its path (`timeouts.request`).

use serde_json::{Map, Value as Json, json};

use super::report::Place;

/// An object of the file.
pub type Object = Map<String, Json>;

/// A route, and where the old file says it.
#[derive(Debug, Clone)]
pub struct DraftRoute {
    /// As it will stand in the file.
    pub fields: Object,
    /// Where it comes from.
    pub place: Place,
    /// How the old file names it.
    pub name: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Draft {
    /// What stands on top.
    pub top: Object,
    /// Pools by name.
    pub(super) pools: Vec<(String, Object)>,
    /// In the order in which the old program would try them.
    pub routes: Vec<DraftRoute>,
}

/// Sets a field; objects on the way come into being.
pub fn put(object: &mut Object, path: &str, value: impl Into<Json>) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match rest {
        None => drop(object.insert(first.to_owned(), value.into())),
        Some(rest) => {
            let inner = object.entry(first).or_insert_with(|| json!({}));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Appends to a list.
pub fn push(object: &mut Object, field: &str, value: impl Into<Json>) {
    if let Json::Array(list) = object.entry(field).or_insert_with(|| json!([])) {
        let value = value.into();
        if !list.contains(&value) {
            list.push(value);
        }
    }
}

/// A rule about a field of requests or answers (`request_headers`, `response_headers`). Names may have dots.
pub fn header(object: &mut Object, which: &str, how: &str, name: &str, value: &str) {
    let rules = object.entry(which).or_insert_with(|| json!({}));
    let Json::Object(rules) = rules else { return };
    match how {
        "remove" => push(rules, how, name),
        _ => {
            if let Json::Object(values) = rules.entry(how).or_insert_with(|| json!({})) {
                values.insert(name.to_owned(), json!(value));
            }
        }
    }
}

impl Draft {
    /// Adds a pool under this name or one like it, or finds the one that is the same; its name in our file.
    pub fn pool(&mut self, name: &str, fields: Object) -> String {
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' })
            .take(48)
            .collect();
        let plain = if plain.is_empty() || plain == "default" { "app".to_owned() } else { plain };
        let mut candidate = plain.clone();
        let mut number = 2;
        while let Some((_, known)) = self.pools.iter().find(|(known, _)| *known == candidate) {
            if *known == fields {
                return candidate;
            }
            candidate = format!("{plain}-{number}");
            number += 1;
        }
        self.pools.push((candidate.clone(), fields));
        candidate
    }

    /// Whether something on top was said for the field at this path of two names.
    pub fn says(&self, path: &str) -> bool {
        let (first, second) = path.split_once('.').unwrap_or((path, ""));
        self.top.get(first).is_some_and(|it| it.get(second).is_some())
    }

    /// A route.
    pub fn route(&mut self, fields: Object, place: &Place, name: &str) {
        self.routes.push(DraftRoute { fields, place: place.clone(), name: name.to_owned() });
    }
}

/// Objects are laid over each other, all else is replaced.
pub fn merge(object: &mut Object, field: String, value: Json) {
    match (object.get_mut(&field), value) {
        (Some(Json::Object(there)), Json::Object(new)) => {
            new.into_iter().for_each(|(field, value)| merge(there, field, value));
        }
        (_, value) => drop(object.insert(field, value)),
    }
}
