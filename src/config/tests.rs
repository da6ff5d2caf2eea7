//! Tests of the configuration as a whole: properties of every file, and files with mistakes and the expected
//! messages.

mod any_file;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value as Json;

use super::*;

static NO_OVERRIDES: LazyLock<Overrides> = LazyLock::new(Overrides::default);

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn example() -> String {
    fs::read_to_string(in_repository("config.json")).unwrap()
}

/// Resolves a text without overrides.
fn resolved(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, &NO_OVERRIDES)
}

fn overridden(algorithm: Option<&str>, listen: Option<&str>) -> Result<Config, ConfigErrors> {
    let from = |source: &str, value: &str| (source.to_string(), value.to_string());
    let overrides = Overrides {
        algorithm: algorithm.map(|value| from("LB_ALGORITHM", value)),
        listen: listen.map(|value| from("LB_LISTEN", value)),
        ..Overrides::default()
    };
    parse(r#"{ "algorithm": "least_conn", "listen": ":1" }"#, &overrides)
}

#[test]
fn the_example_is_the_built_in_default() {
    assert_eq!(load(Some(&in_repository("config.json")), &NO_OVERRIDES), Ok(Config::default()));
    assert_eq!(load(None, &NO_OVERRIDES), Ok(Config::default()));
    assert_eq!(parse("{}", &NO_OVERRIDES), Ok(Config::default()));
}

#[test]
fn the_example_shows_every_field_as_it_is_written_back() {
    let example: Json = serde_json::from_str(&example()).unwrap();
    let written = serde_json::to_string_pretty(&Config::default().to_json()).unwrap();
    assert_eq!(written, serde_json::to_string_pretty(&example).unwrap());
}

#[test]
fn bad_files_get_the_words_beside_them() {
    let folder = in_repository("tests/cases/config");
    let mut cases = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let case = entry.unwrap().path();
        if case.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        cases += 1;
        let name = case.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&case).unwrap();
        let errors = parse(&text, &NO_OVERRIDES).expect_err(name).in_file(name);
        let expected = fs::read_to_string(case.with_extension("err")).unwrap_or_default();
        assert_eq!(errors.to_string().trim_end(), expected.trim_end(), "{name}");
    }
    assert!(cases > 5, "only {cases} cases in {}", folder.display());
}

#[test]
fn environment_and_flags_win_over_the_file() {
    let config = overridden(Some("ip_hash"), Some("localhost:9")).unwrap();
    assert_eq!(config.default_pool.algorithm, Algorithm::IpHash);
    assert_eq!(config.listen[0].to_string(), "127.0.0.1:9");
}

#[test]
fn a_mistake_in_an_override_names_where_it_came_from() {
    let errors = overridden(Some("roundrobin"), Some("8080")).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "LB_ALGORITHM: \"roundrobin\" is not one of \"round_robin\", \"least_conn\", \"ip_hash\", \
         \"power_of_two\", \"consistent_hash\"; did you mean \"round_robin\"?\n\
         LB_LISTEN: \"8080\" is not an address and port; write an address such as \
         \"0.0.0.0:8080\", \"[::1]:8080\" or \":8080\""
    );
}

#[test]
fn a_named_pool_is_like_the_default_one_where_it_does_not_say() {
    let config = resolved(
        r#"{
            "algorithm": "ip_hash", "hash_key": "path", "sticky_cookie": "lb",
            "health_check": { "path": "/up", "interval": "1s" },
            "pools": { "api": {
                "sticky_cookie": null, "backends": [ { "url": "http://a" } ],
                "health_check": { "interval": "2s" }
            } }
        }"#,
    )
    .unwrap();
    let api = &config.pools[0];
    assert_eq!((api.algorithm, &api.hash_key), (Algorithm::IpHash, &HashKey::Path));
    assert_eq!(api.sticky_cookie, None);
    assert_eq!(api.health_check.path, "/up");
    assert_eq!(api.health_check.interval, Duration::from_secs(2));
}

#[test]
fn no_backends_at_the_top_are_right_where_no_request_can_come_to_them() {
    let api = r#""pools": { "api": { "backends": [ { "url": "http://a" } ] } }"#;
    let check = |more: &str, expected: Option<usize>| {
        let found = resolved(&format!("{{ {api}, {more} }}")).ok();
        assert_eq!(found.map(|config| config.default_pool.backends.len()), expected, "{more}");
    };
    let route = |host: &str| format!(r#""routes": [ {{ {host} "pool": "api" }} ]"#);
    let hosts = route(r#""host": ["a.example", "b.example"],"#);
    check(&format!(r#""backends": [], {}"#, route("")), Some(0));
    check(&format!(r#""backends": [], "unmatched": 404, {hosts}"#), Some(0));
    check(&format!(r#""unmatched": 421, {hosts}"#), Some(0));
    check(&format!(r#""unmatched": "default", {hosts}"#), Some(3));
    check(&format!(r#""backends": [], {hosts}"#), None);
    check(r#""backends": [], "unmatched": 404"#, None);
    check(&format!(r#""backends": [], "unmatched": "404", {hosts}"#), None);
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let check = |path: &Path, expected: &str| {
        let errors = load(Some(path), &NO_OVERRIDES).unwrap_err();
        assert_eq!(errors.to_string(), format!("{}: {expected}", path.display()));
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let missing = "cannot be read: No such file or directory (os error 2)";
    check(&folder.path().join("missing.json"), missing);
    check(folder.path(), "cannot be read: Is a directory (os error 21)");
    check(&file("large", &vec![b' '; 1024 * 1024 + 1]), "larger than 1 MiB, which no configuration is");
    check(&file("latin1", b"{ \"\xe4"), "not UTF-8 text (at byte 3); save it as UTF-8");
}

fn with_variables(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    parse(text, &Overrides { variables, ..Overrides::default() })
}

#[test]
fn strings_may_have_variables_and_numbers_may_be_one() {
    let text = r#"{ "listen": ":${PORT}", "workers": "${WORKERS}", "via": "${VIA}", "limits": { "max_body_bytes": "${N}" },
        "backends": [ { "url": "http://${HOST}:${PORT}", "weight": "${N}" } ],
        "admin": { "token": "${TOKEN}" } }"#;
    let variables =
        [("PORT", "81"), ("WORKERS", "7"), ("VIA", "false"), ("N", "3"), ("HOST", "a"), ("TOKEN", "pa$${s")];
    let config = with_variables(text, &variables).unwrap();
    assert_eq!((config.listen[0].tcp().unwrap().port(), config.workers, config.via), (81, 7, false));
    assert_eq!(config.default_pool.backends[0].url.to_string(), "http://a:81");
    assert_eq!(config.default_pool.backends[0].weight, 3);
    assert_eq!(config.limits.max_body_bytes, Some(3));
    assert_eq!(config.admin.as_ref().unwrap().token.as_deref(), Some("pa$${s"));
    assert_eq!(resolved(&config.to_json().to_string()), Ok(config.clone()), "it reads back as the same");
    let shown = config.without_secrets().to_json().to_string();
    assert!(!shown.contains("pa$"), "{shown}");
}

#[test]
fn a_variable_that_is_not_set_is_one_mistake_at_its_field() {
    let check = |text: &str, variables: &[(&str, &str)], expected: &str| {
        assert_eq!(with_variables(text, variables).unwrap_err().to_string(), expected, "{text}");
    };
    let unset = "is not set in the environment; set P, or write the value here";
    check(r#"{ "listen": ":${P}" }"#, &[], &format!("line 1: listen: ${{P}} {unset}"));
    check(r#"{ "workers": "${P}" }"#, &[], &format!("line 1: workers: ${{P}} {unset}"));
    check(r#"{ "tls": "${P}" }"#, &[], &format!("line 1: tls: ${{P}} {unset}"));
    check(
        r#"{ "backends": [ { "url": "${P}" } ] }"#,
        &[],
        &format!("line 1: backends[0].url: ${{P}} {unset}"),
    );
    check(
        r#"{ "workers": "${P}" }"#,
        &[("P", "x")],
        "line 1: workers: x is not a whole number from 1 to 4096",
    );
    check(
        r#"{ "workers": "1${P}" }"#,
        &[("P", "1")],
        "line 1: workers: found the string \"11\"; write a whole number from 1 to 4096",
    );
    check(
        r#"{ "via": "${P}" }"#,
        &[("P", "yes")],
        "line 1: via: found the string \"yes\"; write true or false",
    );
    // Names of fields are not expanded.
    let errors = with_variables(r#"{ "${P}": 1 }"#, &[("P", "workers")]).unwrap_err();
    assert!(errors.to_string().contains("unknown field"), "{errors}");
    // Messages about a secret never contain it.
    let errors = with_variables(r#"{ "sticky_key": "${P}" }"#, &[("P", "tooshort")]).unwrap_err();
    assert!(!errors.to_string().contains("tooshort"), "{errors}");
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert_eq!(parse("\u{feff}{}", &NO_OVERRIDES), Ok(Config::default()));
}

#[test]
fn nesting_and_mistakes_without_end_are_bounded() {
    let deep = "[".repeat(200_000);
    assert!(parse(&deep, &NO_OVERRIDES).is_err());
    let deep = format!("{{\"backends\": {deep}{}}}", "]".repeat(200_000));
    assert!(parse(&deep, &NO_OVERRIDES).is_err());
    let many = format!("{{\"backends\": [{}0]}}", "0,".repeat(200_000));
    let errors = parse(&many, &NO_OVERRIDES).unwrap_err();
    assert_eq!(errors.mistakes().len(), 101);
    assert_eq!(errors.mistakes()[100].message, "and 199901 more");
}
