//! A value behind a lock, and a flag that says without the lock that nothing is the matter with it.

use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::{Mutex, MutexGuard};

/// See the module. The flag is set under the lock only: whoever changes the value leaves the flag as it belongs to it.
pub struct Flagged<T> {
    value: Mutex<T>,
    is_clean: AtomicBool,
}

impl<T: Default> Default for Flagged<T> {
    fn default() -> Self {
        Flagged { value: Mutex::default(), is_clean: AtomicBool::new(true) }
    }
}

impl<T> Flagged<T> {
    /// Whether nothing is the matter, as of the last change.
    pub fn is_clean(&self) -> bool {
        self.is_clean.load(Relaxed)
    }

    /// The value, for reading and for changes that leave it as clean as it was. Takes the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock()
    }

    /// Changes the value, and sets the flag to what `is_clean` then says. Takes the lock.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R, is_clean: impl FnOnce(&T) -> bool) -> R {
        let mut value = self.value.lock();
        let result = change(&mut value);
        self.is_clean.store(is_clean(&value), Relaxed);
        result
    }
}
