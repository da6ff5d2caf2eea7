//! Durations and sizes, as they are written in a configuration.

use serde_json::{Value, json};

use crate::support::{Finished, Run};

fn check(config: &Value) -> Finished {
    Run::of(["check"]).file(&config.to_string()).output()
}

#[test]
fn durations_and_sizes_are_read_as_people_write_them() {
    for (written, read) in [
        ("50ms", "50ms"),
        ("1m30s", "90s"),
        ("1m 30s", "90s"),
        ("1500ms", "1s500ms"),
        ("1h", "1h"),
        ("60m", "1h"),
        ("24h", "1day"),
    ] {
        let run = check(&json!({ "timeouts": { "request": written } }));
        let page: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        assert_eq!(page["timeouts"]["request"], read, "{written}");
    }
    for (written, read) in [
        (json!("64KiB"), json!("64KiB")),
        (json!(65536), json!("64KiB")),
        (json!("65536"), json!("64KiB")),
        (json!("64kB"), json!(64_000)),
        (json!("1MiB"), json!("1MiB")),
        (json!("1025"), json!(1025)),
    ] {
        let run = check(&json!({ "limits": { "max_body_bytes": written } }));
        let page: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        assert_eq!(page["limits"]["max_body_bytes"], read, "{written}");
    }
}

/// Each is refused where it stands, and what would be right is said.
#[test]
fn nonsense_is_named_with_what_would_be_right() {
    const DURATION: &str = r#"a duration such as "50ms", "3s" or "1m30s""#;
    const SIZE: &str = r#"a size such as "64KiB""#;
    let durations = [
        (json!(10), DURATION),
        (json!("10"), DURATION),
        (json!("-3s"), DURATION),
        (json!("10 parsecs"), DURATION),
        (json!(""), DURATION),
        (json!(null), DURATION),
        (json!("24h1ms"), r#"at most "24h""#),
        (json!("0s"), r#"from "1ms" to "24h""#),
    ];
    let sizes = [
        (json!("64 parsecs"), SIZE),
        (json!(-1), SIZE),
        (json!(1.5), SIZE),
        (json!(true), SIZE),
        (json!("1TiB"), "out of range; write a size from"),
        (json!(1u64 << 40), "out of range; write a size from"),
        (json!("99999999999GiB"), "out of range; write a size from"),
    ];
    let all = durations.map(|wrong| ("timeouts", "request", wrong)).into_iter();
    for (section, field, (written, right)) in
        all.chain(sizes.map(|wrong| ("limits", "max_header_bytes", wrong)))
    {
        let run = check(&json!({ section: { field: written } }));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{written}: {run:?}");
        let path = format!("{section}.{field}");
        let named = |line: &str| line.contains(&path) && line.contains(right);
        assert!(run.stderr.lines().any(named), "{path}: {written}: no {right:?} in {run:?}");
    }
}
