//! Converts conditions of other programs into conditions of routes.

use serde_json::Value as Json;

use super::draft::{Object, push, put};

/// Conditions that must all hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// Fields of a route: `host`, `path`, `methods` and so on.
    pub fields: Object,
    /// Allowed client networks; empty allows all.
    pub from: Vec<String>,
    /// Excluded client networks.
    pub not_from: Vec<String>,
    /// Whether the request must come by TLS or without; `None` allows both.
    pub secure: Option<bool>,
    /// A note on a difference.
    pub note: Option<&'static str>,
}

/// More alternatives are not a configuration written by a person.
const MOST_ALTERNATIVES: usize = 64;

/// The alternatives for requests that fit both sides: each combined with each.
///
/// # Errors
/// Two conditions are on the same thing, or there are too many.
pub fn each_with_each(left: &[Terms], right: &[Terms]) -> Result<Vec<Terms>, String> {
    let mut both = Vec::new();
    for (one, other) in left.iter().flat_map(|one| right.iter().map(move |other| (one, other))) {
        let terms = one.and(other)?;
        // The same alternative twice would double the routes of each block around it.
        if !both.contains(&terms) {
            both.push(terms);
        }
        bounded(&both)?;
    }
    Ok(both)
}

/// Checks the number of alternatives.
///
/// # Errors
/// There are too many.
pub fn bounded(alternatives: &[Terms]) -> Result<(), String> {
    if alternatives.len() > MOST_ALTERNATIVES { Err("too many alternatives".to_owned()) } else { Ok(()) }
}

impl Terms {
    fn and(&self, other: &Terms) -> Result<Terms, String> {
        let mut both = self.clone();
        for (field, value) in &other.fields {
            if both.fields.insert(field.clone(), value.clone()).is_some_and(|old| old != *value) {
                return Err(format!("two conditions on the same ({field})"));
            }
        }
        let paths = ["path", "path_exact", "path_regex"];
        if paths.iter().filter(|name| both.fields.contains_key(**name)).count() > 1 {
            return Err("two conditions on the path".to_owned());
        }
        // Addresses of one list are alternatives; a client would have to be in both lists.
        if !both.from.is_empty() && !other.from.is_empty() && both.from != other.from {
            return Err("two conditions on the client".to_owned());
        }
        if both.from.is_empty() {
            both.from.clone_from(&other.from);
        }
        both.not_from.extend(other.not_from.iter().cloned());
        both.secure = both.secure.or(other.secure);
        both.note = both.note.or(other.note);
        Ok(both)
    }

    /// The opposite; possible only for conditions on the client or on TLS.
    ///
    /// # Errors
    /// The conditions are on something else.
    pub fn negated(&self) -> Result<Terms, String> {
        let kinds = [!self.from.is_empty(), !self.not_from.is_empty(), self.secure.is_some()];
        let count = kinds.iter().filter(|is_said| **is_said).count();
        if !self.fields.is_empty() || count != 1 || self.not_from.len() > 1 {
            return Err("the opposite of a condition; name what is meant".to_owned());
        }
        Ok(Terms {
            from: self.not_from.clone(),
            not_from: self.from.clone(),
            secure: self.secure.map(|it| !it),
            ..Terms::default()
        })
    }
}

/// Conditions with this field of a route set to a text.
pub fn field(name: &str, value: &str) -> Terms {
    let mut terms = Terms::default();
    put(&mut terms.fields, name, value);
    terms
}

/// Conditions with this field of a route set to a list of texts.
pub fn list(name: &str, values: &[&str]) -> Terms {
    let mut terms = Terms::default();
    values.iter().for_each(|value| push(&mut terms.fields, name, *value));
    terms
}

/// Conditions with this field of a route set to an object with one entry.
pub fn inner(name: &str, key: &str, value: Json) -> Terms {
    let mut terms = Terms::default();
    let mut object = Object::new();
    object.insert(key.to_owned(), value);
    put(&mut terms.fields, name, object);
    terms
}
