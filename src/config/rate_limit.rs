//! `rate_limit`: a token bucket for each client address.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::raw::Fields;
use super::read::{boolean, number, whole};
use super::write;

/// From one request a day, which is as good as none, to more than any machine serves.
const REQUESTS_PER_SECOND: RangeInclusive<f64> = 1e-5..=1e9;
const BURST: RangeInclusive<u32> = 1..=1_000_000_000;

/// See the module. Off unless it is switched on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateLimit {
    /// Tokens that flow in each second; 0.00001 and up.
    #[serde(serialize_with = "write::number")]
    pub requests_per_second: f64,
    /// What the bucket holds; 1 and up.
    pub burst: u32,
}

impl Default for RateLimit {
    fn default() -> RateLimit {
        RateLimit { requests_per_second: 100.0, burst: 200 }
    }
}

/// The fields of [`RateLimit`] that somebody has written, on top, in a pool or in a route.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RateLimitPatch {
    pub enabled: Option<bool>,
    #[serde(serialize_with = "write::optional_number")]
    pub requests_per_second: Option<f64>,
    pub burst: Option<u32>,
}

impl RateLimitPatch {
    /// Reads `rate_limit`. What it says is checked even while it is switched off: it will be switched on one day.
    pub(super) fn read(fields: &Fields<'_>) -> RateLimitPatch {
        RateLimitPatch {
            enabled: fields.optional("enabled", boolean),
            requests_per_second: fields.optional("requests_per_second", number(REQUESTS_PER_SECOND)),
            burst: fields.optional("burst", whole(BURST)),
        }
    }

    /// The wider layer's with these differences; `is_on` where it does not say.
    pub fn over(&self, wider: &RateLimit, is_on: bool) -> Option<RateLimit> {
        let limit = RateLimit {
            requests_per_second: self.requests_per_second.unwrap_or(wider.requests_per_second),
            burst: self.burst.unwrap_or(wider.burst),
        };
        self.enabled.unwrap_or(is_on).then_some(limit)
    }
}
