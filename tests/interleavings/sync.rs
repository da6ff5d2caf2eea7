//! shuttle's, with the product's spelling.

pub use shuttle::sync::{Arc, MutexGuard, Weak, atomic};
pub use shuttle::thread;

/// As parking_lot has it: a panic of another thread fails the model anyway.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}
