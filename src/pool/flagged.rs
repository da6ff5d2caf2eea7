//! A value behind a lock, and a flag that tells without the lock that the value is in its normal state.

use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use crate::sync::{Mutex, MutexGuard};

/// See the module. The flag is set only under the lock, by [`Flagged::change`], to match the value.
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
    /// Whether the value was in its normal state after the last change.
    pub fn is_clean(&self) -> bool {
        self.is_clean.load(Relaxed)
    }

    /// The value, for reading and for changes that do not affect the flag. Takes the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock()
    }

    /// Changes the value, and sets the flag to what `is_clean` returns for it. Takes the lock.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R, is_clean: impl FnOnce(&T) -> bool) -> R {
        let mut value = self.value.lock();
        let result = change(&mut value);
        self.is_clean.store(is_clean(&value), Relaxed);
        result
    }
}
