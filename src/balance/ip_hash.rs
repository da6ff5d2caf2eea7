//! `ip_hash`: MD5 of the client's address (or of the value that `hash_key` names), modulo the number of
//! healthy backends; with unequal weights, modulo the sum of the weights.
//!
//! The digest's 16 bytes are read as one big-endian number, so any shell can compute a client's backend:
//! `python3 -c "import hashlib; print(int(hashlib.md5(b'192.0.2.7').hexdigest(), 16) % 3)"`.

use md5::{Digest, Md5};

use crate::pool::{Balancer, Candidate, ClientKey};

/// Has no state: the same client and the same candidates give the same backend.
pub struct IpHash;

impl Balancer for IpHash {
    fn pick(&self, candidates: &[Candidate<'_>], client: &ClientKey<'_>) -> usize {
        let hash = hash(client);
        let weight = |index: usize| u128::from(candidates[index].backend.weight());
        let total: u128 = (0..candidates.len()).map(weight).sum();
        if (1..candidates.len()).all(|index| weight(index) == weight(0)) || total == 0 {
            return (hash % candidates.len() as u128) as usize;
        }
        let mut left = hash % total;
        for index in 0..candidates.len() {
            if left < weight(index) {
                return index;
            }
            left -= weight(index);
        }
        0
    }
}

/// The hash of the request's key if it has one, else of the address in its usual notation.
pub(super) fn hash(client: &ClientKey<'_>) -> u128 {
    let digest = match client.key {
        Some(key) => Md5::digest(key),
        None => Md5::digest(client.address.to_string()),
    };
    u128::from_be_bytes(digest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hashlib: `int(md5(address).hexdigest(), 16) % n` for n of 2, 3 and 7.
    #[test]
    fn equals_md5_modulo_worked_out_elsewhere() {
        for (address, modulo) in [
            ("127.0.0.1", [0, 0, 2]),
            ("10.0.0.1", [0, 0, 3]),
            ("192.0.2.7", [0, 1, 1]),
            ("203.0.113.255", [0, 1, 6]),
            ("::1", [1, 0, 0]),
            ("2001:db8::7", [0, 0, 0]),
        ] {
            let hash = hash(&ClientKey::of(address.parse().unwrap()));
            assert_eq!([hash % 2, hash % 3, hash % 7], modulo, "{address}");
        }
    }

    #[test]
    fn a_key_takes_the_address_s_place() {
        let client = ClientKey::of("10.0.0.1".parse().unwrap());
        let keyed = ClientKey { key: Some(b"127.0.0.1"), ..client };
        assert_eq!(hash(&keyed), hash(&ClientKey::of("127.0.0.1".parse().unwrap())));
    }
}
