//! Secrets: messages about a wrong one never repeat it.

use super::raw::{Scalar, Value};

const TOKEN: &str = "a secret of visible ASCII characters, or null";
/// Shorter keys can be guessed.
const LEAST_KEY_BYTES: usize = 16;

/// Reads the token of the admin listener.
pub(super) fn token(value: &Value<'_>) -> Result<String, String> {
    match value.scalar() {
        Scalar::Text(token) if is_visible(&token) => Ok(token),
        _ => Err(format!("not a token; write {TOKEN}")),
    }
}

/// Reads the key for sticky cookies.
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
