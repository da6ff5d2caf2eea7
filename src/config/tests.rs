//! Tests of the configuration as a whole: properties of every file, and files with mistakes and the expected
//! messages.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

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

/// Valid values for each field, including some that are not the default.
fn right_values() -> Vec<(&'static str, Vec<Json>)> {
    let backends = json!([
        { "url": "http://Example.com/" },
        { "url": "HTTPS://[::1]:8443", "weight": 5, "ca": "ca.pem", "max_connections": 3 },
        { "url": "unix:/run/a.sock", "weight": 0, "backup": true },
    ]);
    let check = json!({
        "type": "tcp", "path": "/up?a=b", "port": 1, "host": "h:1", "interval": "1ms",
        "timeout": "24h", "healthy_threshold": 1, "unhealthy_threshold": 1000,
        "expect_status": "200-299, 301,404", "expect_body": "\u{1F980} \"ok\"",
    });
    let api = json!({ "api": { "backends": backends, "health_check": check } });
    vec![
        (
            "listen",
            vec![
                json!([":80", "unix:/run/lb.sock?mode=0600"]),
                json!(":0"),
                json!("[::1]:8080"),
                json!("localhost:1"),
            ],
        ),
        ("workers", vec![json!(1), json!(4096)]),
        ("algorithm", vec![json!("ip_hash"), json!("power_of_two")]),
        ("hash_key", vec![json!("path"), json!("header:X-User"), json!("cookie:Id")]),
        ("sticky_cookie", vec![json!("lb"), json!(null)]),
        ("backends", vec![backends.clone()]),
        ("pools", vec![api]),
        ("routes", vec![json!([{ "host": "*.Example.com", "path": "/v1/", "pool": "default" }])]),
        ("health_check", vec![check]),
        ("retry", vec![json!({ "on_status": [502, 503], "buffer_body": 65537, "delay": "0s" })]),
        ("retry", vec![json!({ "budget_percent": 0, "buffer_body": "1.5KiB", "max_retries": 0 })]),
        ("timeouts", vec![json!({ "connect": "1500ms", "request": "23h59m59s999ms1us1ns" })]),
        ("timeouts", vec![json!({ "queue": "0s", "pre_drain": "121s", "drain": "1.5h" })]),
        ("limits", vec![json!({ "max_body_bytes": "10GiB", "max_connections_per_ip": 1 })]),
        ("limits", vec![json!({ "max_body_bytes": 0, "max_queue": 0, "max_header_bytes": 1024 })]),
        ("rate_limit", vec![json!({ "enabled": true, "requests_per_second": 0.1, "burst": 1 })]),
        ("rate_limit", vec![json!({ "enabled": true, "requests_per_second": 1e9 })]),
        ("rate_limit", vec![json!({ "enabled": true, "requests_per_second": 1e-5 })]),
        ("circuit_breaker", vec![json!({ "enabled": false }), json!({ "on_status": [500] })]),
        ("slow_start", vec![json!("1m30s")]),
        ("sticky_key", vec![json!(null), json!("sixteen-or-more-characters")]),
        ("trusted_proxies", vec![json!([]), json!(["10.1.2.3/8", "::ffff:1.2.3.4", "fe80::/10"])]),
        ("host_header", vec![json!("backend")]),
        ("access_log", vec![json!(false)]),
        ("front", vec![json!(true)]),
        ("proxy_protocol", vec![json!(true)]),
        ("proxy_protocol_from", vec![json!(null), json!([]), json!(["10.1.2.3/8", "fe80::/10"])]),
        ("admin", vec![json!({}), json!({ "listen": "0.0.0.0:9", "token": "s3cret" })]),
        (
            "tls",
            vec![json!({ "certificates": [{ "certificate": "c", "private_key": "k" }],
                         "redirect_http": true, "proxy_protocol": true, "min_version": "1.3" })],
        ),
    ]
}

/// All numeric fields, with the smallest and the largest valid value.
const NUMBERS: [(&str, &str, &str); 24] = [
    ("workers", "1", "4096"),
    ("backends.weight", "0", "65535"),
    ("backends.max_connections", "1", "1000000"),
    ("health_check.port", "1", "65535"),
    ("health_check.healthy_threshold", "1", "1000"),
    ("health_check.unhealthy_threshold", "1", "1000"),
    ("retry.max_retries", "0", "100"),
    ("retry.on_status", "100", "599"),
    ("retry.buffer_body", "0", "67108864"),
    ("retry.budget_percent", "0", "100"),
    ("limits.max_connections", "1", "1000000"),
    ("limits.max_connections_per_ip", "1", "1000000"),
    ("limits.max_queue", "0", "1000000"),
    ("limits.max_streams", "0", "65536"),
    ("limits.max_header_bytes", "1024", "1048576"),
    ("limits.max_body_bytes", "0", "18446744073709551615"),
    ("limits.max_idle_per_backend", "0", "1000000"),
    ("rate_limit.requests_per_second", "0.00001", "1000000000"),
    ("rate_limit.burst", "1", "1000000000"),
    ("circuit_breaker.failures", "1", "1000"),
    ("circuit_breaker.on_status", "100", "599"),
    ("timeouts.connect", "\"1ms\"", "\"24h\""),
    ("timeouts.queue", "\"0s\"", "\"24h\""),
    ("slow_start", "\"0s\"", "\"24h\""),
];

/// A file with only this field.
fn file_with(field: &str, value: &str) -> String {
    match field.split_once('.') {
        Some(("backends", field)) => {
            let other = r#"{ "url": "http://b" }"#;
            format!(r#"{{ "backends": [ {{ "url": "http://a", "{field}": {value} }}, {other} ] }}"#)
        }
        Some((object, "on_status")) => format!(r#"{{ "{object}": {{ "on_status": [{value}] }} }}"#),
        Some((object, field)) => format!(r#"{{ "{object}": {{ "{field}": {value} }} }}"#),
        None => format!(r#"{{ "{field}": {value} }}"#),
    }
}

#[test]
fn every_number_has_a_least_and_a_most_and_nothing_else_is_one() {
    for (field, least, most) in NUMBERS {
        for right in [least, most] {
            assert_eq!(parse(&file_with(field, right), &NO_OVERRIDES).err(), None, "{field} {right}");
        }
        let beyond = match (least.starts_with('"'), most) {
            (true, _) => ["\"-1s\"", "\"1e99s\"", "\"NaNs\"", "\"24h1ms\""],
            (false, "18446744073709551615") => ["-1", "1e400", "18446744073709551616", "0.5"],
            (false, _) => ["-1", "1e400", "1e-20", "1000000001"],
        };
        for wrong in beyond {
            let errors = parse(&file_with(field, wrong), &NO_OVERRIDES).expect_err(field);
            assert_eq!(errors.mistakes().len(), 1, "{field} {wrong}: {errors}");
            let path = errors.mistakes()[0].path.replace("[0]", "");
            assert_eq!(path, field, "{wrong}");
        }
        for no_number in ["NaN", "Infinity", "-Infinity", "01", "+1", "0x10"] {
            assert!(parse(&file_with(field, no_number), &NO_OVERRIDES).is_err(), "{field} {no_number}");
        }
    }
}

fn valid_file() -> impl Strategy<Value = Json> {
    let fields = right_values();
    let some = proptest::sample::subsequence(fields.clone(), 0..=fields.len());
    (some, any::<usize>()).prop_map(|(fields, choice)| {
        let one =
            |(name, values): (&str, Vec<Json>)| (name.to_string(), values[choice % values.len()].clone());
        Json::Object(fields.into_iter().map(one).collect())
    })
}

proptest! {
    #[test]
    fn what_is_written_back_reads_as_the_same(file in valid_file()) {
        let config = resolved(&file.to_string()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let written = config.to_json();
        let again = resolved(&written.to_string());
        prop_assert_eq!(again.as_ref(), Ok(&config), "{}", written);
        prop_assert_eq!(config.to_json(), written);
    }

    #[test]
    fn any_environment_makes_a_configuration_or_a_line_of_mistake(value in "[^\0]*", near in "[:0-9a-z.$\\{\\}]{0,12}") {
        for value in [value, near] {
            let text = r#"{ "listen": "${V}", "workers": "${V}", "backends": [ { "url": "http://${V}" } ] }"#;
            let errors = with_variables(text, &[("V", &value)]).expect_err("no value is right for all of them");
            let said = errors.to_string();
            prop_assert_eq!(said.lines().count(), errors.mistakes().len());
            prop_assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{:?}", said);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), json in r#"[\[\]{}",:0-9a-z\\ ]{0,60}"#) {
        let _ = parse(&text, &NO_OVERRIDES);
        let _ = parse(&json, &NO_OVERRIDES);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes), &NO_OVERRIDES);
    }

    /// Replaces a piece of the example by another piece, or by text.
    #[test]
    fn no_damage_to_the_example_makes_it_panic(
        at in any::<prop::sample::Index>(),
        length in 0usize..40,
        piece in prop_oneof![
            r#"[\[\]{}",:0-9a-z\\\-\. ]{0,12}"#,
            Just("null".to_string()),
            Just("\"\\ud800\"".to_string()),
            Just("99999999999999999999".to_string()),
        ],
    ) {
        let example = example();
        let start = at.index(example.len());
        let end = (start + length).min(example.len());
        let damaged = format!("{}{piece}{}", &example[..start], &example[end..]);
        if let Err(errors) = parse(&damaged, &NO_OVERRIDES) {
            prop_assert!(!errors.mistakes().is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), errors.mistakes().len());
        }
    }
}
