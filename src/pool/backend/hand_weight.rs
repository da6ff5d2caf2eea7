//! A weight that people have set.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A weight that was set by hand, and the configured one that it stands for: it holds for configurations that
/// say this, so that one that says another wins from the moment it serves. In one word, for it is read by
/// every choice; zero while there is none.
#[derive(Debug, Default)]
pub(super) struct HandWeight(AtomicU64);

/// Tells a weight of 0 for a configured 0 from none.
const IS_SET: u64 = 1 << 63;

impl HandWeight {
    pub fn set(&self, configured: u32, weight: u32) {
        // A configured weight has 16 bits, so that the mark's bit is free.
        self.0.store(IS_SET | u64::from(configured) << 32 | u64::from(weight), Relaxed);
    }

    pub fn of(&self, configured: u32) -> Option<u32> {
        let word = self.0.load(Relaxed);
        // The lower half is the weight.
        (word >> 32 == IS_SET >> 32 | u64::from(configured)).then_some(word as u32)
    }

    /// What is set, whatever it stands for.
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
