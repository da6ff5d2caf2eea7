//! What people have set by hand: a state and a weight, over what the configuration says. Both outlast a reload
//! that does not change that very thing.

use std::sync::atomic::Ordering::Relaxed;

use super::core::Backend;
use crate::pool::admin::AdminState;

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
