//! The primitives under `pool::flagged` and `workers::idle`. `tests/interleavings` replaces them by
//! shuttle's, which tries thousands of interleavings.

pub use std::sync::{Arc, atomic};
pub use std::thread;

pub use parking_lot::{Mutex, MutexGuard};
