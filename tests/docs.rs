//! The documentation says what the program does: its examples load, and no field is left out.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use loadbalancer::config::{Overrides, parse};
use serde_json::Value;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The code blocks of that kind.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let start = format!("```{kind}");
    let mut blocks = Vec::new();
    for part in text.split(&start).skip(1) {
        let (first_line, rest) = part.split_once('\n').unwrap();
        if !first_line.contains("no_load") {
            blocks.push(rest.split("```").next().unwrap());
        }
    }
    blocks
}

#[test]
fn every_example_loads() {
    for (file, least) in [("docs/CONFIGURATION.md", 8), ("README.md", 1)] {
        let text = read(file);
        let examples = blocks(&text, "json");
        assert!(examples.len() >= least, "{} examples in {file}", examples.len());
        for example in examples {
            if let Err(mistakes) = parse(example, &Overrides::default()) {
                panic!("{file}: {mistakes}\n{example}");
            }
        }
    }
}

/// `retry.delay`, `backends[].url` and so on.
fn paths(prefix: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                paths(&path, value, found);
            }
        }
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            paths(&format!("{prefix}[]"), &items[0], found);
        }
        _ => found.push(prefix.to_owned()),
    }
}

#[test]
fn every_field_is_explained() {
    let text = read("docs/CONFIGURATION.md");
    let whole = r#"{
        "backends": [ { "url": "https://a", "ca": "ca.pem" } ],
        "routes": [ { "host": "a", "path": "/", "pool": "default" } ],
        "tls": { "certificates": [ { "certificate": "c", "private_key": "k" } ] },
        "admin": {}
    }"#;
    let config = parse(whole, &Overrides::default()).unwrap();
    let mut fields = Vec::new();
    paths("", &config.to_json(), &mut fields);
    assert!(fields.len() > 60, "{fields:?}");
    for field in fields {
        assert!(text.contains(&format!("`{field}`")), "{field} is not explained");
    }
}

#[test]
fn defaults_are_told_as_they_are() {
    let text = read("docs/CONFIGURATION.md");
    let config = parse("{}", &Overrides::default()).unwrap().to_json();
    let mut fields = Vec::new();
    paths("", &config, &mut fields);
    for field in fields.iter().filter(|field| !field.contains("[]")) {
        let value = field.split('.').fold(&config, |value, name| &value[name]);
        let row = text.lines().find(|line| line.starts_with(&format!("| `{field}`"))).unwrap();
        let told = row.split('|').nth(2).unwrap().trim().trim_matches('`').replace(' ', "");
        let actual = value.to_string().replace(' ', "");
        assert_eq!(told, actual, "{field}");
    }
}
