//! `ip_hash`: MD5 of the client's address, modulo the healthy backends.
//!
//! The digest's 16 bytes are one big-endian number, so any shell can check where a client goes:
//! `python3 -c "import hashlib; print(int(hashlib.md5(b'192.0.2.7').hexdigest(), 16) % 3)"`.

use std::net::IpAddr;
use std::sync::Arc;

use md5::{Digest, Md5};

use crate::pool::{Backend, Balancer, ClientKey};

/// Remembers nothing: the same client and the same candidates give the same backend.
pub struct IpHash;

impl Balancer for IpHash {
    fn pick(&self, candidates: &[&Arc<Backend>], client: &ClientKey) -> usize {
        (hash(client.address) % candidates.len() as u128) as usize
    }
}

/// Of the address as people write it.
fn hash(address: IpAddr) -> u128 {
    u128::from_be_bytes(Md5::digest(address.to_string()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out with Python's hashlib: `int(md5(address).hexdigest(), 16) % n` for n of 2, 3 and 7.
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
            let hash = hash(address.parse().unwrap());
            assert_eq!([hash % 2, hash % 3, hash % 7], modulo, "{address}");
        }
    }
}
