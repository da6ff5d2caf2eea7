//! Admin overrides of a backend: a state and a weight set through the admin listener, over the
//! configuration's. Each survives a reload unless the reload changes that setting.

use std::sync::atomic::Ordering::Relaxed;

use super::core::Backend;
use crate::pool::admin::AdminState;

impl Backend {
    /// The backend's weight, which is its share of the requests; 0 takes none.
    pub fn weight(&self) -> u32 {
        self.kept.weight_by_hand.of(self.configured_weight).unwrap_or(self.configured_weight)
    }

    /// The weight in the configuration, without an override.
    pub fn configured_weight(&self) -> u32 {
        self.configured_weight
    }

    /// Overrides the weight until a configuration has another weight for this backend. Setting the configured
    /// weight removes the override.
    pub fn set_weight(&self, weight: u32) {
        match weight == self.configured_weight {
            true => self.kept.weight_by_hand.clear(),
            false => self.kept.weight_by_hand.set(self.configured_weight, weight),
        }
    }

    /// The overriding weight, if there is one.
    pub fn weight_by_hand(&self) -> Option<u32> {
        self.kept.weight_by_hand.of(self.configured_weight)
    }

    /// Whether the state or the weight is overridden.
    pub fn is_set_by_hand(&self) -> bool {
        self.admin() != AdminState::Enabled || self.weight_by_hand().is_some()
    }

    /// Called when the configuration of this backend takes effect. Drops a weight override that was made over
    /// another configured weight, so that it does not come back when an earlier file does.
    pub fn serves_now(&self) {
        if self.weight_by_hand().is_none() && self.kept.weight_by_hand.any().is_some() {
            self.kept.weight_by_hand.clear();
        }
    }

    /// Copies the admin overrides of `earlier`, the backend that this one replaces at the same URL with
    /// another `ca`. Must be called before this one serves.
    pub fn take_over_by_hand(&self, earlier: &Backend) {
        self.kept.admin.store(earlier.admin() as u8, Relaxed);
        if let Some(weight) =
            earlier.weight_by_hand().filter(|_| self.configured_weight == earlier.configured_weight)
        {
            self.set_weight(weight);
        }
    }
}
