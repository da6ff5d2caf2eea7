//! What `flagged` is built on: `tests/interleavings` builds it on shuttle's instead, which tries thousands of orders of steps.

pub use std::sync::atomic;

pub use parking_lot::{Mutex, MutexGuard};
