//! Files of every kind: each field with values that are right, numbers at their bounds, and damage.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

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
