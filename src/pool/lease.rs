//! One attempt's claim on a backend, whose life *is* the attempt: it lives until the last byte of the
//! answer went out, so that `active` counts what a backend really has to do.

use std::sync::Arc;

use super::Backend;

/// A counted claim; ends when dropped, also in a panic.
pub struct Lease {
    backend: Arc<Backend>,
}

impl Lease {
    pub(super) fn claim(backend: &Arc<Backend>) -> Lease {
        backend.begin();
        Lease { backend: Arc::clone(backend) }
    }

    /// The backend claimed.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// The attempt failed by the backend's fault; ends the claim.
    pub fn failed(self) {
        self.backend.count_failure();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::backend::tests::backends;

    #[test]
    fn active_lives_as_long_as_the_lease() {
        let backend = &backends(1)[0];
        let (one, two) = (Lease::claim(backend), Lease::claim(backend));
        assert_eq!((backend.active(), backend.total_requests()), (2, 2));
        one.failed();
        assert_eq!((backend.active(), backend.total_failures()), (1, 1));
        drop(two);
        assert_eq!((backend.active(), backend.total_failures()), (0, 1));
    }
}
