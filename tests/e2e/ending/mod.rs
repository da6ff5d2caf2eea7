//! Signals, drains, and what is in flight then.

mod drain_loses_nothing;
mod draining;
mod rolling;
mod stopping;
