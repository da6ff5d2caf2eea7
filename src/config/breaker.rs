//! `circuit_breaker`: keeps requests from a backend that fails.

use std::time::Duration;

use serde::Serialize;

use super::raw::Fields;
use super::read::{THRESHOLD, boolean, duration, statuses, whole};
use super::write;

/// See the module. On unless it is switched off.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakerConfig {
    /// Failures in a row, or within `window`, that open it.
    pub failures: u32,
    /// See `failures`.
    #[serde(serialize_with = "write::duration")]
    pub window: Duration,
    /// How long it stays open before a trial.
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

/// The fields of [`BreakerConfig`] that somebody has written, on top, in a pool or in a route.
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
    /// Reads `circuit_breaker`. What it says is checked even while it is switched off.
    pub(super) fn read(fields: &Fields<'_>) -> BreakerPatch {
        BreakerPatch {
            enabled: fields.optional("enabled", boolean),
            failures: fields.optional("failures", whole(THRESHOLD)),
            window: fields.optional("window", duration),
            cooldown: fields.optional("cooldown", duration),
            on_status: fields.optional("on_status", statuses),
        }
    }

    /// The wider layer's with these differences; `is_on` where it does not say.
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
