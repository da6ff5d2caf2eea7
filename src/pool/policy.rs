//! What holds for all backends of a configuration.

use std::time::Duration;

use crate::config::{BreakerConfig, Config};

/// No breaker and no slow start by default.
#[derive(Debug, Default)]
pub struct Policy {
    /// `None` when switched off.
    pub breaker: Option<BreakerConfig>,
    /// How long a backend that came back takes to reach its full weight.
    pub slow_start: Duration,
}

impl Policy {
    /// As this configuration says on top.
    pub fn new(config: &Config) -> Policy {
        Policy::with(config, config.circuit_breaker.clone())
    }

    /// The same with another breaker.
    pub fn with(config: &Config, breaker: Option<BreakerConfig>) -> Policy {
        Policy { breaker, slow_start: config.slow_start }
    }
}
