//! What all readers share: their bounds.

/// Of all files together.
pub const MOST_BYTES: u64 = 4 << 20;
/// Blocks within blocks, and files within files.
pub const MOST_DEPTH: usize = 32;
/// Directives of all files.
pub const MOST_DIRECTIVES: usize = 50_000;
