//! `retry`: when a request may be retried.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::raw::Fields;
use super::read::{boolean, duration_or_zero, size, statuses, whole};
use super::write;

const MAX_RETRIES: RangeInclusive<u32> = 0..=100;
/// Every request that may be retried holds up to this much of its body in memory.
const BUFFER_BYTES: RangeInclusive<u64> = 0..=64 << 20;
/// With 0, only the three retries in flight that are always allowed remain.
const PERCENT: RangeInclusive<u32> = 0..=100;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetryConfig {
    /// Attempts after the first.
    pub max_retries: u32,
    /// Pause before each retry.
    #[serde(serialize_with = "write::duration")]
    pub delay: Duration,
    /// Statuses of a backend that count as a failed attempt.
    pub on_status: Vec<u16>,
    /// Whether POST and PATCH are retried after they were sent.
    pub non_idempotent: bool,
    /// Request bodies up to this size are kept for a retry.
    #[serde(rename = "buffer_body", serialize_with = "write::size")]
    pub buffer_body_bytes: usize,
    /// Limit of retries in flight, in percent of the requests in flight.
    pub budget_percent: u32,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig {
            max_retries: 2,
            delay: Duration::from_millis(50),
            on_status: Vec::new(),
            non_idempotent: false,
            buffer_body_bytes: 64 << 10,
            budget_percent: 20,
        }
    }
}

/// The fields of [`RetryConfig`] that a configuration sets, at the top level, in a pool or in a route.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RetryPatch {
    pub max_retries: Option<u32>,
    #[serde(serialize_with = "write::optional_duration")]
    pub delay: Option<Duration>,
    pub on_status: Option<Vec<u16>>,
    pub non_idempotent: Option<bool>,
    #[serde(serialize_with = "write::optional_size")]
    pub buffer_body: Option<u64>,
    pub budget_percent: Option<u32>,
}

impl RetryPatch {
    /// Reads `retry`.
    pub(super) fn read(fields: &Fields<'_>) -> RetryPatch {
        RetryPatch {
            max_retries: fields.optional("max_retries", whole(MAX_RETRIES)),
            delay: fields.optional("delay", duration_or_zero),
            on_status: fields.optional("on_status", statuses),
            non_idempotent: fields.optional("non_idempotent", boolean),
            buffer_body: fields.optional("buffer_body", size(BUFFER_BYTES)),
            budget_percent: fields.optional("budget_percent", whole(PERCENT)),
        }
    }

    /// Merges these settings over the wider layer's.
    pub fn over(&self, wider: &RetryConfig) -> RetryConfig {
        RetryConfig {
            max_retries: self.max_retries.unwrap_or(wider.max_retries),
            delay: self.delay.unwrap_or(wider.delay),
            on_status: self.on_status.clone().unwrap_or_else(|| wider.on_status.clone()),
            non_idempotent: self.non_idempotent.unwrap_or(wider.non_idempotent),
            buffer_body_bytes: self.buffer_body.map_or(wider.buffer_body_bytes, |bytes| bytes as usize),
            budget_percent: self.budget_percent.unwrap_or(wider.budget_percent),
        }
    }
}
