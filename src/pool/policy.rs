//! Breaker and slow start of backends.

use std::time::Duration;

use crate::config::{BreakerConfig, Config};

/// The default has no breaker and no slow start.
#[derive(Debug, Default)]
pub struct Policy {
    /// `None` when switched off.
    pub breaker: Option<BreakerConfig>,
    /// How long a backend that came back takes to reach its full weight.
    pub slow_start: Duration,
}

impl Policy {
    /// The policy of the configuration's top level.
    pub fn new(config: &Config) -> Policy {
        Policy::with(config, config.circuit_breaker.clone())
    }

    /// The same with another breaker.
    pub fn with(config: &Config, breaker: Option<BreakerConfig>) -> Policy {
        Policy { breaker, slow_start: config.slow_start }
    }
}
