//! Figures of parts that exist only after the page that tells of them.

use std::sync::{Arc, OnceLock};

use crate::frontend::Door;
use crate::workers::Occupancy;

/// Parts that the metrics page tells of and that exist only after it.
#[derive(Default)]
pub(super) struct Late {
    pub doors: OnceLock<Doors>,
    pub workers: OnceLock<Occupancy>,
}

/// All listeners.
pub(super) type Doors = Vec<Arc<dyn Door>>;

impl Late {
    pub fn connections(&self) -> u64 {
        let doors = self.doors.get().map(Vec::as_slice).unwrap_or_default();
        doors.iter().map(|door| door.counts().client_connections).sum()
    }

    pub fn streams(&self) -> u64 {
        self.workers.get().map_or(0, |workers| workers.streams() as u64)
    }

    pub fn busy_workers(&self) -> u64 {
        self.workers.get().map_or(0, |workers| workers.busy() as u64)
    }
}

/// One of them, for the page.
pub(super) fn figure(late: &Arc<Late>, which: fn(&Late) -> u64) -> Box<dyn Fn() -> u64 + Send + Sync> {
    let late = Arc::clone(late);
    Box::new(move || which(&late))
}
