//! What `pool::flagged` and `workers::idle` are built on: `tests/interleavings` builds them on shuttle's instead, which tries
//! thousands of orders of steps.

pub use std::sync::{Arc, atomic};
pub use std::thread;

pub use parking_lot::{Mutex, MutexGuard};
