//! Secrets: what is said about a wrong one never repeats it.

use super::raw::{Scalar, Value};

const TOKEN: &str = "a secret of visible ASCII characters, or null";
/// Shorter ones can be found by trying.
const LEAST_KEY_BYTES: usize = 16;

/// What callers of the admin listener send.
pub(super) fn token(value: &Value<'_>) -> Result<String, String> {
    match value.scalar() {
        Scalar::Text(token) if is_visible(&token) => Ok(token),
        _ => Err(format!("not a token; write {TOKEN}")),
    }
}

/// What sticky cookies are made with.
pub(super) fn sticky_key(value: &Value<'_>) -> Result<String, String> {
    match value.scalar() {
        Scalar::Text(key) if key.len() >= LEAST_KEY_BYTES && is_visible(&key) => Ok(key),
        Scalar::Text(key) if is_visible(&key) => {
            Err(format!("too short a secret; write {LEAST_KEY_BYTES} characters or more, by chance"))
        }
        _ => Err(format!("not a secret; write {LEAST_KEY_BYTES} or more visible ASCII characters, or null")),
    }
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
