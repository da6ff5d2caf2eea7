//! Which backends are used: probes, breakers, and why one is not.

mod breaker;
mod breaker_trials;
mod health;
mod why_down;
