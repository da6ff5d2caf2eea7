//! What weighted rendezvous hashing is made of: [`super::consistent_hash`] chooses backends by it, `rules` the share of
//! a route that a client belongs to.

/// In (0, 1), never at an end.
pub fn uniform(hash: u64) -> f64 {
    ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of the argument.
pub fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
