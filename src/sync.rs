//! What `pool::flagged`, `workers::idle` and `workers::slot` are built on: `tests/interleavings` builds them on shuttle's
//! instead, which tries thousands of orders of steps.

pub use std::sync::{Arc, Weak, atomic};
pub use std::thread;

pub use parking_lot::{Mutex, MutexGuard};
