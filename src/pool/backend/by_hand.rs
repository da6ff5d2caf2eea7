//! What people have set by hand: a state and a weight, over what the configuration says. Both outlast a reload
//! that does not change that very thing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Backend;
use crate::pool::admin::AdminState;

/// A weight that was set by hand, and the configured one that it stands for: it holds for configurations that
/// say this, so that one that says another wins from the moment it serves. In one word, for it is read by
/// every choice; zero while there is none.
#[derive(Debug, Default)]
pub(super) struct HandWeight(AtomicU64);

/// Tells a weight of 0 for a configured 0 from none.
const IS_SET: u64 = 1 << 63;

impl HandWeight {
    fn set(&self, configured: u32, weight: u32) {
        // A configured weight has 16 bits, so that the mark's bit is free.
        self.0.store(IS_SET | u64::from(configured) << 32 | u64::from(weight), Relaxed);
    }

    fn of(&self, configured: u32) -> Option<u32> {
        let word = self.0.load(Relaxed);
        // The lower half is the weight.
        (word >> 32 == IS_SET >> 32 | u64::from(configured)).then_some(word as u32)
    }

    /// What is set, whatever it stands for.
    fn any(&self) -> Option<u32> {
        let word = self.0.load(Relaxed);
        // The lower half is the weight.
        (word != 0).then_some(word as u32)
    }

    fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}

impl Backend {
    /// Its share of the requests; 0 takes none.
    pub fn weight(&self) -> u32 {
        self.kept.weight_by_hand.of(self.configured_weight).unwrap_or(self.configured_weight)
    }

    /// Its share as the configuration says it.
    pub fn configured_weight(&self) -> u32 {
        self.configured_weight
    }

    /// Sets the weight by hand, until a configuration has another one for this backend. What the configuration
    /// says anyway is nothing of its own.
    pub fn set_weight(&self, weight: u32) {
        match weight == self.configured_weight {
            true => self.kept.weight_by_hand.clear(),
            false => self.kept.weight_by_hand.set(self.configured_weight, weight),
        }
    }

    /// The weight, where it was set by hand.
    pub fn weight_by_hand(&self) -> Option<u32> {
        self.kept.weight_by_hand.of(self.configured_weight)
    }

    /// Whether people have set its state or its weight.
    pub fn is_set_by_hand(&self) -> bool {
        self.admin() != AdminState::Enabled || self.weight_by_hand().is_some()
    }

    /// From now on this configuration serves: a weight that was set over another one is over for good, and
    /// does not come back when an earlier file does.
    pub fn serves_now(&self) {
        if self.weight_by_hand().is_none() && self.kept.weight_by_hand.any().is_some() {
            self.kept.weight_by_hand.clear();
        }
    }

    /// For another backend at the same place, which `earlier` was until now (it has another `ca`): what was set by hand is about
    /// the place and goes on. Nobody uses this one yet.
    pub fn take_over_by_hand(&self, earlier: &Backend) {
        self.kept.admin.store(earlier.admin() as u8, Relaxed);
        if let Some(weight) =
            earlier.weight_by_hand().filter(|_| self.configured_weight == earlier.configured_weight)
        {
            self.set_weight(weight);
        }
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
