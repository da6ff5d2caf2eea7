//! Parts of weighted rendezvous hashing: [`super::consistent_hash`] chooses backends with it, `rules` the
//! share of a route that a client belongs to.

/// Maps the hash to (0, 1), both ends excluded.
pub fn uniform(hash: u64) -> f64 {
    ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of the argument.
pub fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
