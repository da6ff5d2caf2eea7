//! Accepts flags with a single dash, as Go's `flag` does: `-config lb.json`, `-port=3001`, `-fail=true`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Returns the arguments with two dashes before known names. `switches` take no value, though Go allows
/// `=true`. Arguments after `--` are unchanged.
pub fn doubled(
    arguments: impl IntoIterator<Item = OsString>,
    names: &[&str],
    switches: &[&str],
) -> Vec<OsString> {
    let mut is_over = false;
    let one = |argument: OsString| {
        is_over |= argument == "--";
        if is_over { Some(argument) } else { double(argument, names, switches) }
    };
    arguments.into_iter().filter_map(one).collect()
}

/// `None` for a switch with `=false`, which means that it is absent.
fn double(argument: OsString, names: &[&str], switches: &[&str]) -> Option<OsString> {
    let Some(bare) = argument.as_bytes().strip_prefix(b"-") else { return Some(argument) };
    let bare = bare.strip_prefix(b"-").unwrap_or(bare);
    let name = bare.split(|byte| *byte == b'=').next().unwrap_or_default();
    let is_among = |known: &[&str]| known.iter().any(|it| it.as_bytes() == name);
    let value = bare.get(name.len() + 1..);
    match value {
        _ if !is_among(names) && !is_among(switches) => Some(argument),
        Some(b"true" | b"1") if is_among(switches) => Some(with_dashes(name)),
        Some(b"false" | b"0") if is_among(switches) => None,
        _ => Some(with_dashes(bare)),
    }
}

fn with_dashes(bare: &[u8]) -> OsString {
    OsString::from_vec([b"--", bare].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_get_their_second_dash() {
        let check = |line: &str, expected: &str| {
            let found = doubled(line.split(' ').map(OsString::from), &["port", "config"], &["fail"]);
            let expected: Vec<OsString> = expected.split(' ').map(OsString::from).collect();
            assert_eq!(found, expected, "{line}");
        };
        check("-port 3001 -fail", "--port 3001 --fail");
        check("-port=3001 --config=a=b", "--port=3001 --config=a=b");
        check("-fail=true --fail=1 x", "--fail --fail x");
        check("-fail=false x", "x");
        check("-fail=perhaps", "--fail=perhaps");
        check("-c a.json -q -cport -", "-c a.json -q -cport -");
        check("-ports 1 - -- -port", "-ports 1 - -- -port");
    }
}
