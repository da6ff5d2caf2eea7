//! Our configuration under construction. Its parts are JSON objects as in the finished file; a field is named
//! by its path (`timeouts.request`).

use serde_json::{Map, Value as Json, json};

use super::report::Place;

/// An object of the file.
pub type Object = Map<String, Json>;

/// A route, with its origin in the old file.
#[derive(Debug, Clone)]
pub struct DraftRoute {
    /// The fields as in our file.
    pub fields: Object,
    /// The position in the old file.
    pub place: Place,
    /// The name in the old file.
    pub name: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Draft {
    /// The fields of the top level.
    pub top: Object,
    /// Pools by name.
    pub(super) pools: Vec<(String, Object)>,
    /// The routes in the order in which the old program tries them.
    pub routes: Vec<DraftRoute>,
}

/// Sets a field, creating the objects on its path.
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

/// Appends to a list unless the value is in it already.
pub fn push(object: &mut Object, field: &str, value: impl Into<Json>) {
    if let Json::Array(list) = object.entry(field).or_insert_with(|| json!([])) {
        let value = value.into();
        if !list.contains(&value) {
            list.push(value);
        }
    }
}

/// Adds a header rule (`request_headers`, `response_headers`). The field's name may contain dots.
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
    /// Adds a pool under this name or a similar one, or finds an equal pool; returns the name in our file.
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

    /// Whether the top level sets the field with this path of two names.
    pub fn says(&self, path: &str) -> bool {
        let (first, second) = path.split_once('.').unwrap_or((path, ""));
        self.top.get(first).is_some_and(|it| it.get(second).is_some())
    }

    /// Adds a route.
    pub fn route(&mut self, fields: Object, place: &Place, name: &str) {
        self.routes.push(DraftRoute { fields, place: place.clone(), name: name.to_owned() });
    }
}

/// Merges objects recursively; other values are replaced.
pub fn merge(object: &mut Object, field: String, value: Json) {
    match (object.get_mut(&field), value) {
        (Some(Json::Object(there)), Json::Object(new)) => {
            new.into_iter().for_each(|(field, value)| merge(there, field, value));
        }
        (_, value) => drop(object.insert(field, value)),
    }
}
