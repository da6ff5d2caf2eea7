//! A read buffer per thread.

use std::cell::RefCell;

/// The size of one read.
const BYTES: usize = 16 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's buffer; must not be called again inside `use_it`.
pub(super) fn with<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.is_empty() {
            *scratch = vec![0; BYTES];
        }
        use_it(scratch)
    })
}
