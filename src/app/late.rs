//! Figures of parts that exist only after the page that tells of them.

use std::sync::{Arc, OnceLock};

use crate::frontend::{Counts, Door};

/// Parts that the metrics page tells of and that exist only after it.
#[derive(Default)]
pub(super) struct Late {
    pub doors: OnceLock<Doors>,
    pub streams: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
}

/// All listeners.
pub(super) type Doors = Vec<Arc<dyn Door>>;

impl Late {
    fn sum(&self, count: fn(Counts) -> u64) -> u64 {
        let doors = self.doors.get().map(Vec::as_slice).unwrap_or_default();
        doors.iter().map(|door| count(door.counts())).sum()
    }

    pub fn connections(&self) -> u64 {
        self.sum(|counts| counts.client_connections)
    }

    pub fn leaked(&self) -> u64 {
        self.sum(|counts| counts.leaked_connections)
    }

    pub fn streams(&self) -> u64 {
        self.streams.get().map_or(0, |streams| streams() as u64)
    }
}

/// One of them, for the page.
pub(super) fn figure(late: &Arc<Late>, which: fn(&Late) -> u64) -> Box<dyn Fn() -> u64 + Send + Sync> {
    let late = Arc::clone(late);
    Box::new(move || which(&late))
}
