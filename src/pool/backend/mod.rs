//! One configured backend: its address, its state and its counters.

mod admin_overrides;
mod breaker;
mod core;
mod counts;
mod endpoint;
mod hand_weight;
mod idle_time;
mod resolved_addresses;
mod state;
mod trouble;

pub use core::Backend;
#[cfg(test)]
pub(crate) use core::tests;
pub use endpoint::Endpoint;
pub use idle_time::{IdleSource, IdleTime};
pub use resolved_addresses::ResolvedAddresses;
pub use state::FULL_SHARE;
pub use trouble::{Observed, Trouble};
