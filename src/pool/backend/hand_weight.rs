//! A weight override.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A weight override together with the configured weight that it replaces. It applies only to configurations
/// with that weight, so that a configuration with another weight wins as soon as it serves. Packed into one
/// word because every choice of a backend reads it; 0 means no override.
#[derive(Debug, Default)]
pub(super) struct HandWeight(AtomicU64);

/// Distinguishes an override of weight 0 over a configured 0 from no override.
const IS_SET: u64 = 1 << 63;

impl HandWeight {
    pub fn set(&self, configured: u32, weight: u32) {
        // Configured weights have 16 bits, so bit 63 is free for the mark.
        self.0.store(IS_SET | u64::from(configured) << 32 | u64::from(weight), Relaxed);
    }

    pub fn of(&self, configured: u32) -> Option<u32> {
        let word = self.0.load(Relaxed);
        // The lower half is the weight.
        (word >> 32 == IS_SET >> 32 | u64::from(configured)).then_some(word as u32)
    }

    /// The override, whatever configured weight it replaces.
    pub fn any(&self) -> Option<u32> {
        let word = self.0.load(Relaxed);
        // The lower half is the weight.
        (word != 0).then_some(word as u32)
    }

    pub fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_holds_for_the_configured_one_that_it_was_set_over() {
        let weight = HandWeight::default();
        assert_eq!((weight.of(0), weight.any()), (None, None));
        weight.set(0, 0);
        assert_eq!((weight.of(0), weight.of(1), weight.any()), (Some(0), None, Some(0)));
        weight.set(65_535, 65_535);
        assert_eq!((weight.of(65_535), weight.of(0)), (Some(65_535), None));
        weight.clear();
        assert_eq!(weight.of(65_535), None);
    }
}
