//! The value of a sticky cookie: a digest of the backend's URL, so that every instance with the same
//! configuration agrees on it and clients can't read an address from it.
//!
//! A digest of one of few values can be reversed by trying all of them, and a private network has few
//! addresses. A secret in the configuration (`sticky_key`) prevents that. There is no default secret: it
//! would have to be the same in every instance and after every start, so it can only come from the
//! configuration.

use md5::{Digest, Md5};

/// Rounds of the digest without a secret: the cost of each guess.
const ROUNDS: usize = 64;
/// MD5's block size, to which HMAC pads the key (RFC 2104).
const BLOCK_BYTES: usize = 64;

/// The cookie's value for the backend with this digest of its URL.
pub fn value(digest: u128, key: Option<&str>) -> String {
    let digest = match key {
        Some(key) => keyed(key.as_bytes(), digest),
        None => (0..ROUNDS).fold(digest, |digest, _| of(&[b"sticky", &digest.to_be_bytes()])),
    };
    format!("{:016x}", digest as u64)
}

/// HMAC-MD5 (RFC 2104), which is still sound: MD5 is broken for collisions only.
fn keyed(key: &[u8], digest: u128) -> u128 {
    let short = of(&[key]).to_be_bytes();
    let key = if key.len() > BLOCK_BYTES { &short } else { key };
    let padded = |with: u8| -> [u8; BLOCK_BYTES] {
        std::array::from_fn(|index| key.get(index).copied().unwrap_or(0) ^ with)
    };
    let inner = of(&[&padded(0x36), &digest.to_be_bytes()]);
    of(&[&padded(0x5c), &inner.to_be_bytes()])
}

fn of(parts: &[&[u8]]) -> u128 {
    let mut hasher = Md5::new();
    parts.iter().for_each(|part| hasher.update(part));
    u128::from_be_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_changes_every_value_and_instances_that_share_it_agree() {
        let values = [None, Some("one secret of ours"), Some("another secret")].map(|key| value(7, key));
        assert!(values[0] != values[1] && values[1] != values[2], "{values:?}");
        assert_eq!(value(7, Some("one secret of ours")), values[1]);
        assert_ne!(value(8, Some("one secret of ours")), values[1]);
        assert!(values.iter().all(|value| value.len() == 16));
    }

    /// The expected values are from Python's `hmac.new(key, bytes(15) + b"\x07", "md5")`.
    #[test]
    fn the_secret_is_used_as_rfc_2104_says() {
        assert_eq!(value(7, Some("key")), HMAC_SHORT);
        assert_eq!(value(7, Some(&"k".repeat(100))), HMAC_LONG);
    }

    const HMAC_SHORT: &str = "32de6d0675583294";
    const HMAC_LONG: &str = "6619ba56ce4078b5";
}
