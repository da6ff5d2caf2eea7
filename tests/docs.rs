//! The documentation says what the program does: its examples load, and no field is left out.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::Command;

use loadbalancer::config::{Algorithm, Overrides, parse};
use serde_json::Value;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The code blocks of that kind.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let start = format!("```{kind}");
    text.split(&start)
        .skip(1)
        .map(|part| part.split_once('\n').unwrap().1.split("```").next().unwrap())
        .collect()
}

/// The names of all pages for people, with what stands in them.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for folder in ["", "docs/", "bench/"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                pages.push((format!("{folder}{name}"), read(&format!("{folder}{name}"))));
            }
        }
    }
    pages
}

#[test]
fn every_example_loads() {
    let mut found = 0;
    for (file, text) in pages() {
        let examples = blocks(&text, "json");
        found += examples.len();
        for example in examples {
            if let Err(mistakes) = parse(example, &Overrides::default()) {
                panic!("{file}: {mistakes}\n{example}");
            }
        }
    }
    assert!(found > 20, "{found} examples");
}

/// Who copies an example from there gets no warning for it.
#[test]
fn check_has_nothing_against_the_examples_for_those_who_move() {
    let page = read("docs/MOVING.md");
    let file = tempfile::NamedTempFile::new().unwrap();
    // Certificates are not there to be read.
    for example in blocks(&page, "json").into_iter().filter(|example| !example.contains("certificates")) {
        std::fs::write(file.path(), example).unwrap();
        let check = Command::new(env!("CARGO_BIN_EXE_loadbalancer"))
            .args(["check", "--quiet"])
            .arg(file.path())
            .output();
        let check = check.unwrap();
        assert!(check.status.success());
        assert_eq!(String::from_utf8_lossy(&check.stderr), "", "{example}");
    }
}

/// What others' programs say of their configuration in this page; a program that is not here is told of.
#[test]
fn what_others_configure_is_theirs() {
    let page = read("docs/MOVING.md");
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().display();
    for (kind, program) in [("nginx", "nginx"), ("haproxy", "haproxy"), ("caddyfile", "caddy")] {
        let [block] = blocks(&page, kind)[..] else { panic!("one {kind} block") };
        let file = files.path().join(kind);
        let file_name = file.display();
        let (text, arguments) = match program {
            "nginx" => {
                let pid = format!("pid {folder}/pid; error_log stderr;");
                let text = format!("{pid} events {{}} http {{ access_log off; {block} }}");
                (text, format!("-t -e stderr -p {folder} -c {file_name}"))
            }
            "haproxy" => (block.to_owned(), format!("-c -f {file_name}")),
            _ => (block.to_owned(), format!("validate --adapter caddyfile --config {file_name}")),
        };
        std::fs::write(&file, text).unwrap();
        let output = Command::new(program).args(arguments.split(' ')).env("HOME", files.path()).output();
        let Ok(output) = output else {
            let _ = writeln!(std::io::stderr(), "SKIPPED what_others_configure_is_theirs: no {program} here");
            continue;
        };
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn links_lead_somewhere() {
    for (file, text) in pages() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        let folder = folder.parent().unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") {
                continue;
            }
            let linked = if path.is_empty() {
                folder.join(file.rsplit('/').next().unwrap())
            } else {
                folder.join(path)
            };
            assert!(linked.exists(), "{file}: {target}");
            if !anchor.is_empty() {
                let headings = std::fs::read_to_string(&linked).unwrap();
                let mut headings = headings.lines().filter(|line| line.starts_with('#')).map(as_anchor);
                assert!(headings.any(|it| it == anchor), "{file}: {target}");
            }
        }
    }
}

/// As GitHub makes one of a heading.
fn as_anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn every_page_is_in_the_index() {
    let index = read("docs/README.md");
    for (file, _) in pages() {
        let Some(name) = file.strip_prefix("docs/").filter(|name| *name != "README.md") else { continue };
        assert!(index.contains(&format!("]({name})")), "{name} in docs/README.md");
    }
}

/// Words that look like the reasons of our answers, in code that gives such answers.
fn reasons() -> Vec<String> {
    let mut words = Vec::new();
    for file in [
        "src/proxy/refusal.rs",
        "src/proxy/outcome.rs",
        "src/http/framing.rs",
        "src/frontend/front/mod.rs",
        "src/frontend/refused_head.rs",
        "src/middleware/redirect.rs",
        "src/endpoints/admin.rs",
        "src/endpoints/explain.rs",
    ] {
        let source = read(file);
        let code = source.split("#[cfg(test)]").next().unwrap();
        let is_word =
            |text: &&str| text.contains('_') && text.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
        let found: Vec<_> = code.split('"').filter(is_word).map(str::to_owned).collect();
        assert!(!found.is_empty(), "no words in {file}");
        words.extend(found);
    }
    words.sort();
    words.dedup();
    // A key of the log.
    words.retain(|word| word != "request_id");
    words
}

#[test]
fn every_reason_is_told() {
    let readme = read("README.md");
    let words = reasons();
    assert!(words.len() > 25, "{words:?}");
    for word in words {
        assert!(readme.contains(&format!("`{word}`")), "{word} in the README");
    }
    let page = read("docs/WHY_503.md");
    let words = [
        "no_healthy_backend",
        "queue_full",
        "queue_timeout",
        "too_many_streams",
        "too_many_logins",
        "auth_unavailable",
    ];
    for word in words {
        assert!(page.contains(&format!("| `{word}` |")), "{word} in WHY_503.md");
    }
    let answered_503 = read("src/proxy/refusal.rs").matches("look(503, ").count();
    assert_eq!(answered_503, words.len(), "each of them is in WHY_503.md");
}

#[test]
fn the_readme_is_short_and_names_what_there_is() {
    let readme = read("README.md");
    assert!(readme.lines().count() < 180);
    let first: Vec<_> = readme.lines().take(9).collect();
    assert!(
        first[0].ends_with('.') && first[3].starts_with("$ make demo") && first[4].starts_with("$ make test")
    );
    assert!(first[7].contains("(docs/dashboard.png)"), "{}", first[7]);
    for algorithm in Algorithm::all() {
        assert!(readme.contains(&format!("`{algorithm}`")), "{algorithm}");
    }
    for command in ["check", "check --probe", "explain", "replay", "drill", "demo"] {
        assert!(readme.contains(&format!("`loadbalancer {command}")), "{command}");
    }
    let config = parse("{}", &Overrides::default()).unwrap().to_json();
    for field in config.as_object().unwrap().keys() {
        let told = [format!("`{field}`"), format!("`{field}."), format!("`{field}[]")];
        assert!(told.iter().any(|it| readme.contains(it)), "{field}");
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
            items.iter().for_each(|item| paths(&format!("{prefix}[]"), item, found));
        }
        _ => found.push(prefix.to_owned()),
    }
}

/// All fields that there are.
fn fields() -> Vec<String> {
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
    fields
}

#[test]
fn every_field_is_explained() {
    let text = read("docs/CONFIGURATION.md");
    for field in fields() {
        assert!(text.contains(&format!("`{field}`")), "{field} is not explained");
    }
}

#[test]
fn every_field_is_in_an_example() {
    let text = read("docs/CONFIGURATION.md");
    let mut shown = Vec::new();
    for example in blocks(&text, "json") {
        paths("", &serde_json::from_str(example).unwrap(), &mut shown);
    }
    let is_shown = |field: &String| shown.iter().any(|other| other.starts_with(field));
    let missing: Vec<String> = fields().into_iter().filter(|field| !is_shown(field)).collect();
    assert!(missing.is_empty(), "{missing:?}");
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
