//! What numbers in a configuration may be, each written once.

use std::ops::RangeInclusive;

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;

pub(super) const WORKERS: RangeInclusive<usize> = 1..=4096;
pub(super) const MAX_RETRIES: RangeInclusive<u32> = 0..=100;
/// 0 leaves the three retries in flight that are always allowed.
pub(super) const PERCENT: RangeInclusive<u32> = 0..=100;
pub(super) const THRESHOLD: RangeInclusive<u32> = 1..=1000;
/// From one in a day and a bit, for which nobody waits, to as many as limit nobody.
pub(super) const REQUESTS_PER_SECOND: RangeInclusive<f64> = 1e-5..=1e9;
pub(super) const BURST: RangeInclusive<u32> = 1..=1_000_000_000;
/// More connections, or more that wait, than one process can have.
pub(super) const MOST_CONNECTIONS: usize = 1_000_000;
/// A thread each.
pub(super) const MOST_STREAMS: usize = 65_536;
pub(super) const HEADER_BYTES: RangeInclusive<u64> = KIB..=MIB;
pub(super) const BODY_BYTES: RangeInclusive<u64> = 0..=u64::MAX;
/// Held in memory for each request that may be retried.
pub(super) const BUFFER_BYTES: RangeInclusive<u64> = 0..=64 * MIB;
