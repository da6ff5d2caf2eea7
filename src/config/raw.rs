//! A walk over the file's JSON text that knows the path and position of every value, and collects mistakes
//! instead of stopping at the first.
//!
//! serde's derive is not used, because it stops at the first mistake, loses line numbers and silently accepts
//! repeated fields. Values remain slices of the text (serde_json's `RawValue`), which gives their position.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::document::Document;
use super::error::{MISSPELT, clipped, nearest, quoted};
use super::variables::is_reference;

/// One value of the file.
pub(super) struct Value<'d> {
    document: &'d Document<'d>,
    path: String,
    raw: &'d str,
}

/// The kinds of JSON value; numbers as written.
pub(super) enum Scalar<'d> {
    Null,
    Bool(bool),
    Number(&'d str),
    Text(String),
    /// A string with half of a surrogate pair, which is valid JSON syntax but not valid text.
    HalfCharacter,
    /// A string with a variable missing in the environment, which was already reported.
    Unknown,
    List,
    Object,
}

impl<'d> Document<'d> {
    /// Reads the whole file as an object.
    pub fn read<T>(&'d self, read: impl FnOnce(&Fields<'d>) -> T) -> T {
        Value::root(self, self.root).object(read)
    }
}

impl<'d> Value<'d> {
    pub fn root(document: &'d Document<'d>, raw: &'d str) -> Value<'d> {
        Value { document, path: String::new(), raw }
    }

    /// Adds a mistake at this value.
    pub fn mistake(&self, message: impl Into<String>) {
        self.document.mistake(&self.path, self.raw, message.into());
    }

    /// Adds a mistake at a field of this object, or at the object itself if the field is left out.
    pub fn mistake_in(&self, name: &str, message: impl Into<String>) {
        let raw = self.field(name).unwrap_or(self.raw);
        self.document.mistake(&child(&self.path, name), raw, message.into());
    }

    /// Whether this is an object with this field and the field is not null.
    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some_and(|raw| raw != "null")
    }

    fn field(&self, name: &str) -> Option<&'d str> {
        let Entries(all) = serde_json::from_str::<Entries<'d>>(self.raw).ok()?;
        all.into_iter().find(|(key, _)| key == name).map(|(_, raw)| raw)
    }

    /// Converts this value with `read`; `None`, with a mistake added, if the value is wrong.
    pub fn read<T>(&self, read: impl FnOnce(&Value<'d>) -> Result<T, String>) -> Option<T> {
        read(self).map_err(|message| self.mistake(message)).ok()
    }

    pub fn scalar(&self) -> Scalar<'d> {
        match self.raw.as_bytes().first() {
            Some(b'n') | None => Scalar::Null,
            Some(b't') => Scalar::Bool(true),
            Some(b'f') => Scalar::Bool(false),
            Some(b'[') => Scalar::List,
            Some(b'{') => Scalar::Object,
            Some(b'"') => match serde_json::from_str(self.raw) {
                Ok(text) => self.expanded(text),
                Err(_) => Scalar::HalfCharacter,
            },
            Some(_) => Scalar::Number(self.raw),
        }
    }

    fn expanded(&self, text: String) -> Scalar<'d> {
        match self.document.variables.expand(&text) {
            Ok(expanded) => Scalar::Text(expanded.into_owned()),
            Err(message) => {
                self.document.unknown(&self.path, self.raw, message);
                Scalar::Unknown
            }
        }
    }

    /// The text of a number or a boolean: as written, or the value of a string that is exactly one variable,
    /// since the environment has no types.
    pub fn bare(&self) -> Option<String> {
        match self.scalar() {
            Scalar::Number(number) => Some(number.to_owned()),
            Scalar::Bool(value) => Some(value.to_string()),
            Scalar::Text(text)
                if serde_json::from_str(self.raw).is_ok_and(|it: String| is_reference(&it)) =>
            {
                Some(text)
            }
            _ => None,
        }
    }

    /// Returns a message such as "found the number 12; write `right`".
    pub fn wrong_type(&self, right: &str) -> String {
        let found = match self.scalar() {
            Scalar::Null => "null".to_string(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Number(number) => format!("the number {}", clipped(number)),
            Scalar::Text(text) => format!("the string {}", quoted(&text)),
            Scalar::HalfCharacter => "half of a \\u pair".to_string(),
            Scalar::Unknown => "nothing".to_string(),
            Scalar::List => "a list".to_string(),
            Scalar::Object => "an object".to_string(),
        };
        format!("found {found}; write {right}")
    }

    /// The values of a list; `None` if this is something else.
    pub fn items(&self) -> Option<Vec<Value<'d>>> {
        let items: Vec<&'d RawValue> = serde_json::from_str(self.raw).ok()?;
        let value = |(index, raw): (usize, &'d RawValue)| Value {
            document: self.document,
            path: format!("{}[{index}]", self.path),
            raw: raw.get(),
        };
        Some(items.into_iter().enumerate().map(value).collect())
    }

    /// Passes the object's fields to `read`, then reports those that it did not ask for. A value that is not
    /// an object is a mistake and is read as an empty object.
    pub fn object<T>(&self, read: impl FnOnce(&Fields<'d>) -> T) -> T {
        let mut fields = Fields::none(self.document, &self.path, self.raw);
        match serde_json::from_str::<Entries<'d>>(self.raw) {
            Ok(Entries(entries)) => {
                fields.entries = entries;
                fields.written = true;
            }
            Err(_) if self.raw.starts_with('{') => {
                self.mistake("a field's name has half of a \\u pair; write the character itself");
            }
            Err(_) => self.mistake(self.wrong_type("an object, { … }")),
        }
        fields.report_repeated();
        let result = read(&fields);
        fields.report_unknown();
        result
    }
}

/// The fields of one object.
pub(super) struct Fields<'d> {
    document: &'d Document<'d>,
    path: String,
    raw: &'d str,
    entries: Vec<(String, &'d str)>,
    /// Whether the object is in the file; only then can a field be missing.
    written: bool,
    /// The names that `read` has asked for; empty for objects whose names are chosen by the user.
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Fields<'d> {
    fn none(document: &'d Document<'d>, path: &str, raw: &'d str) -> Fields<'d> {
        let (path, entries, asked) = (path.to_string(), Vec::new(), RefCell::default());
        Fields { document, path, raw, entries, written: false, asked }
    }

    /// The field, if present; its name counts as known from now on.
    pub fn get(&self, name: &'static str) -> Option<Value<'d>> {
        self.asked.borrow_mut().push(name);
        let (_, raw) = self.entries.iter().find(|(key, _)| key == name)?;
        Some(self.value_of(name, raw))
    }

    /// All fields, for objects whose names are chosen by the user.
    pub fn all(&self) -> Vec<(&str, Value<'d>)> {
        self.entries.iter().map(|(name, raw)| (name.as_str(), self.value_of(name, raw))).collect()
    }

    /// Reads an optional field; returns the default if it is left out or wrong.
    pub fn value<T>(
        &self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Value<'d>) -> Result<T, String>,
    ) -> T {
        let Some(value) = self.get(name) else { return default };
        value.read(read).unwrap_or(default)
    }

    /// Reads an optional field; `None` if it is left out or wrong.
    pub fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value<'d>) -> Result<T, String>,
    ) -> Option<T> {
        self.get(name)?.read(read)
    }

    /// Reads an optional field that may be null.
    pub fn nullable<T>(
        &self,
        name: &'static str,
        default: Option<T>,
        read: impl FnOnce(&Value<'d>) -> Result<T, String>,
    ) -> Option<T> {
        self.value(name, default, |value| match value.scalar() {
            Scalar::Null => Ok(None),
            _ => read(value).map(Some),
        })
    }

    /// Reads a mandatory field; `None`, with a mistake added, if it is missing or wrong.
    pub fn required<T>(
        &self,
        name: &'static str,
        right: &str,
        read: impl FnOnce(&Value<'d>) -> Result<T, String>,
    ) -> Option<T> {
        let Some(value) = self.get(name) else {
            self.missing(name, right);
            return None;
        };
        value.read(read)
    }

    /// Reports a missing field at the line of the object that lacks it.
    pub fn missing(&self, name: &str, right: &str) {
        if self.written {
            let path = child(&self.path, name);
            self.document.mistake(&path, self.raw, format!("missing; write {right}"));
        }
    }

    /// Reads an object inside this one; if it is left out, `read` gets no fields.
    pub fn object<T>(&self, name: &'static str, read: impl FnOnce(&Fields<'d>) -> T) -> T {
        match self.get(name) {
            Some(value) => value.object(read),
            None => read(&Fields::none(self.document, &child(&self.path, name), self.raw)),
        }
    }

    fn value_of(&self, name: &str, raw: &'d str) -> Value<'d> {
        let path = child(&self.path, name);
        Value { document: self.document, path, raw }
    }

    fn report_repeated(&self) {
        let mut seen = HashSet::new();
        for (name, raw) in &self.entries {
            if !seen.insert(name) {
                self.value_of(name, raw).mistake("written twice; keep one of them");
            }
        }
    }

    fn report_unknown(&self) {
        let asked = self.asked.borrow();
        if asked.is_empty() {
            return;
        }
        for (name, raw) in &self.entries {
            if !asked.contains(&name.as_str()) {
                let message = match nearest(name, asked.iter().copied()) {
                    (nearest, likeness) if likeness > MISSPELT => {
                        format!("unknown field; the nearest known one is {nearest:?}")
                    }
                    _ => {
                        let known: BTreeSet<&str> = asked.iter().copied().collect();
                        let known: Vec<&str> = known.into_iter().collect();
                        format!("unknown field; known ones are {}", known.join(", "))
                    }
                };
                self.value_of(name, raw).mistake(message);
            }
        }
    }
}

/// The path of a field: `retry.delay`, or `pools["a b"]` if the name is not a plain word.
fn child(path: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match (name.chars().all(plain) && !name.is_empty(), path.is_empty()) {
        (true, true) => clipped(name),
        (true, false) => format!("{path}.{}", clipped(name)),
        (false, _) => format!("{path}[{}]", quoted(name)),
    }
}

/// An object's fields in the file's order, including repeated ones.
struct Entries<'d>(Vec<(String, &'d str)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    entries.push((name, raw.get()));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}
