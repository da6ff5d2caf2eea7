//! `compress`: which answers to clients are compressed.

use serde::Serialize;

use super::error::quoted;
use super::raw::{Fields, Value};
use super::read::{list, not_null, size, text};

const TYPES: &str = r#"a list of media types such as ["text/*", "application/json"]"#;
const TYPE: &str = r#"a media type such as "application/json", or "text/*""#;
/// Common text formats, including those whose names don't begin with `text/`.
const DEFAULT_TYPES: [&str; 7] = [
    "text/*",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/wasm",
    "application/manifest+json",
    "image/svg+xml",
];
/// Compressing less than about one packet saves nothing.
const DEFAULT_MIN_BYTES: u64 = 1024;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompressConfig {
    /// Media types in lower case; `text/*` matches all subtypes except event streams.
    pub types: Vec<String>,
    /// Answers known to be shorter are not compressed.
    pub min_bytes: u64,
}

impl CompressConfig {
    /// Whether an answer with this `Content-Type` is to be compressed. Event streams are only if listed by
    /// their full name.
    pub fn has_type(&self, content_type: &[u8]) -> bool {
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_kind = |kind: &[u8]| {
            let start = essence.get(..=kind.len());
            let is_of_kind = start
                .is_some_and(|start| start.ends_with(b"/") && start[..kind.len()].eq_ignore_ascii_case(kind));
            is_of_kind && !essence.eq_ignore_ascii_case(b"text/event-stream")
        };
        self.types.iter().any(|known| match known.strip_suffix("/*") {
            Some(kind) => is_kind(kind.as_bytes()),
            None => essence.eq_ignore_ascii_case(known.as_bytes()),
        })
    }
}

/// Reads `compress`.
pub(super) fn compress(fields: &Fields<'_>) -> Option<CompressConfig> {
    let value = fields.get("compress").filter(not_null)?;
    Some(value.object(|fields| CompressConfig {
        types: fields.value("types", DEFAULT_TYPES.map(str::to_owned).to_vec(), types),
        min_bytes: fields.value("min_bytes", DEFAULT_MIN_BYTES, size(0..=u64::MAX)),
    }))
}

fn types(value: &Value<'_>) -> Result<Vec<String>, String> {
    let types = list(TYPES, text(TYPE, media_type))(value)?;
    let is_empty = value.items().is_some_and(|items| items.is_empty());
    if is_empty { Err(format!("empty; write {TYPES}, or \"compress\": null")) } else { Ok(types) }
}

fn media_type(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c);
    let is_name = |name: &str| !name.is_empty() && name.chars().all(plain);
    let is_type = |(kind, name): (&str, &str)| is_name(kind) && (name == "*" || is_name(name));
    match text.split_once('/').is_some_and(is_type) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("{} is no media type; write {TYPE}", quoted(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn read(text: &str) -> Option<CompressConfig> {
        parse(&format!(r#"{{ "compress": {text} }}"#), &Overrides::default()).unwrap().compress
    }

    #[test]
    fn types_are_compared_without_parameters_and_event_streams_have_to_be_named() {
        assert_eq!(read("null"), None);
        let default = read("{}").unwrap();
        for (kind, expected) in [
            ("text/html", true),
            ("TEXT/HTML; charset=utf-8", true),
            ("application/json ;a=b", true),
            ("text/event-stream", false),
            ("textual/html", false),
            ("text", false),
            ("image/png", false),
            ("", false),
        ] {
            assert_eq!(default.has_type(kind.as_bytes()), expected, "{kind}");
        }
        let named = read(r#"{ "types": ["Text/Event-Stream"] }"#).unwrap();
        assert!(named.has_type(b"text/event-stream") && !named.has_type(b"text/html"));
    }

    #[test]
    fn mistakes_name_what_is_wrong() {
        for (text, expected) in [
            (r#"{ "types": ["html"] }"#, r#"compress.types[0]: "html" is no media type"#),
            (r#"{ "types": ["*/*"] }"#, "is no media type"),
            (r#"{ "types": [] }"#, "compress.types: empty"),
            (r#"{ "min_bytes": -1 }"#, "compress.min_bytes"),
            ("true", "compress: found true; write an object"),
        ] {
            let errors = parse(&format!(r#"{{ "compress": {text} }}"#), &Overrides::default()).unwrap_err();
            assert_eq!(errors.mistakes().len(), 1, "{errors}");
            assert!(errors.to_string().contains(expected), "{errors}");
        }
    }
}
