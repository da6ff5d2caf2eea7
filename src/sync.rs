//! The primitives under `pool::flagged`, `workers::idle` and `workers::slot`. `tests/interleavings` replaces them by
//! shuttle's, which tries thousands of interleavings.

pub use std::sync::{Arc, Weak, atomic};
pub use std::thread;

pub use parking_lot::{Mutex, MutexGuard};
