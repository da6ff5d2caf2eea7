//! `rate_limit`: a token bucket for each client address.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::raw::Fields;
use super::read::{boolean, number, whole};
use super::write;

/// From about one request a day to more than any machine can serve.
const REQUESTS_PER_SECOND: RangeInclusive<f64> = 1e-5..=1e9;
const BURST: RangeInclusive<u32> = 1..=1_000_000_000;

/// See the module. Off by default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateLimit {
    /// Tokens added per second; at least 0.00001.
    #[serde(serialize_with = "write::number")]
    pub requests_per_second: f64,
    /// Size of the bucket; at least 1.
    pub burst: u32,
}

impl Default for RateLimit {
    fn default() -> RateLimit {
        RateLimit { requests_per_second: 100.0, burst: 200 }
    }
}

/// The fields of [`RateLimit`] that a configuration sets, at the top level, in a pool or in a route.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RateLimitPatch {
    pub enabled: Option<bool>,
    #[serde(serialize_with = "write::optional_number")]
    pub requests_per_second: Option<f64>,
    pub burst: Option<u32>,
}

impl RateLimitPatch {
    /// Reads `rate_limit`. Its fields are checked even while the limit is switched off.
    pub(super) fn read(fields: &Fields<'_>) -> RateLimitPatch {
        RateLimitPatch {
            enabled: fields.optional("enabled", boolean),
            requests_per_second: fields.optional("requests_per_second", number(REQUESTS_PER_SECOND)),
            burst: fields.optional("burst", whole(BURST)),
        }
    }

    /// Merges these settings over the wider layer's; `is_on` applies if `enabled` is not set.
    pub fn over(&self, wider: &RateLimit, is_on: bool) -> Option<RateLimit> {
        let limit = RateLimit {
            requests_per_second: self.requests_per_second.unwrap_or(wider.requests_per_second),
            burst: self.burst.unwrap_or(wider.burst),
        };
        self.enabled.unwrap_or(is_on).then_some(limit)
    }
}
