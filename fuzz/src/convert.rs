//! Configurations of other programs.

use loadbalancer::cli::ConvertOptions;
use loadbalancer::config::{Overrides, parse};
use loadbalancer::convert;
use serde_json::Value;

/// The first line names the program (`nginx`, `haproxy`, `caddy`, `traefik`), the rest is its configuration. Whatever
/// it is, it is refused in words, or becomes a file that our own reader takes unless the report says what to mend.
pub fn converted_file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some((program, text)) = text.split_once('\n') else { return };
    // No other file is read for a stranger's bytes.
    if ["include", "import ", "filename", "directory"].iter().any(|word| text.contains(word)) {
        return;
    }
    let options = |report: &str| ConvertOptions {
        from: Some(program.to_owned()),
        report: Some(report.to_owned()),
        ..ConvertOptions::default()
    };
    match convert::text(text, &options("json")) {
        Err(problem) => assert!(!problem.is_empty() && !problem.contains('\n'), "{problem:?}"),
        Ok(converted) => {
            let config: Value = serde_json::from_str(&converted.config).expect("JSON");
            assert!(config.is_object());
            let rows: Vec<Value> = serde_json::from_str(&converted.report).expect("a list of rows");
            let is_partial = rows.iter().any(|row| row["verdict"] == "not here");
            assert_eq!(converted.is_partial, is_partial);
            if parse(&converted.config, &Overrides::default()).is_err() {
                assert!(is_partial, "{}", converted.config);
            }
            let table = convert::text(text, &options("text")).expect("as before").report;
            assert!(!table.chars().any(|c| c.is_control() && c != '\n'), "{table:?}");
        }
    }
}
