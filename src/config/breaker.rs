//! `circuit_breaker`: keeps requests from a failing backend.

use std::time::Duration;

use serde::Serialize;

use super::raw::Fields;
use super::read::{THRESHOLD, boolean, duration, statuses, whole};
use super::write;

/// See the module. On by default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakerConfig {
    /// Consecutive failures, or failures within `window`, that open the breaker.
    pub failures: u32,
    /// See `failures`.
    #[serde(serialize_with = "write::duration")]
    pub window: Duration,
    /// How long the breaker stays open before a trial.
    #[serde(serialize_with = "write::duration")]
    pub cooldown: Duration,
    /// Statuses that count as failures.
    pub on_status: Vec<u16>,
}

impl Default for BreakerConfig {
    fn default() -> BreakerConfig {
        BreakerConfig {
            failures: 5,
            window: Duration::from_secs(10),
            cooldown: Duration::from_secs(30),
            on_status: Vec::new(),
        }
    }
}

/// The fields of [`BreakerConfig`] that a configuration sets, at the top level, in a pool or in a route.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct BreakerPatch {
    pub enabled: Option<bool>,
    pub failures: Option<u32>,
    #[serde(serialize_with = "write::optional_duration")]
    pub window: Option<Duration>,
    #[serde(serialize_with = "write::optional_duration")]
    pub cooldown: Option<Duration>,
    pub on_status: Option<Vec<u16>>,
}

impl BreakerPatch {
    /// Reads `circuit_breaker`. Its fields are checked even while the breaker is switched off.
    pub(super) fn read(fields: &Fields<'_>) -> BreakerPatch {
        BreakerPatch {
            enabled: fields.optional("enabled", boolean),
            failures: fields.optional("failures", whole(THRESHOLD)),
            window: fields.optional("window", duration),
            cooldown: fields.optional("cooldown", duration),
            on_status: fields.optional("on_status", statuses),
        }
    }

    /// Merges these settings over the wider layer's; `is_on` applies if `enabled` is not set.
    pub fn over(&self, wider: &BreakerConfig, is_on: bool) -> Option<BreakerConfig> {
        let breaker = BreakerConfig {
            failures: self.failures.unwrap_or(wider.failures),
            window: self.window.unwrap_or(wider.window),
            cooldown: self.cooldown.unwrap_or(wider.cooldown),
            on_status: self.on_status.clone().unwrap_or_else(|| wider.on_status.clone()),
        };
        self.enabled.unwrap_or(is_on).then_some(breaker)
    }
}
