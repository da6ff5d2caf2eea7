//! Room for one read, of each thread its own.

use std::cell::RefCell;

/// One read.
const BYTES: usize = 16 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's; not to be asked for again inside.
pub(super) fn with<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.is_empty() {
            *scratch = vec![0; BYTES];
        }
        use_it(scratch)
    })
}
