//! What a sticky cookie says: a digest of the backend's URL, so that every instance with the same
//! configuration reads it alike and nobody learns an address from it.

use md5::{Digest, Md5};

use super::Backend;

/// Rounds of the digest: whoever wants to guess an address from it has to pay for each guess.
const ROUNDS: usize = 64;

/// The cookie's value for this backend.
pub fn value(backend: &Backend) -> String {
    let mut digest = backend.digest();
    for _ in 0..ROUNDS {
        let mut hasher = Md5::new_with_prefix(b"sticky");
        hasher.update(digest.to_be_bytes());
        digest = u128::from_be_bytes(hasher.finalize().into());
    }
    format!("{:016x}", digest as u64)
}

/// Whether this value names this backend.
pub fn names(value: &[u8], backend: &Backend) -> bool {
    value == backend.sticky_value().as_bytes()
}
