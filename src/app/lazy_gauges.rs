//! Gauges whose sources are created after the metrics page.

use std::sync::{Arc, OnceLock};

use crate::frontend::Listener;
use crate::workers::Occupancy;

/// The sources; each is set once it has started.
#[derive(Default)]
pub(super) struct LazyGauges {
    pub listeners: OnceLock<Listeners>,
    pub workers: OnceLock<Occupancy>,
}

/// All listeners.
pub(super) type Listeners = Vec<Arc<dyn Listener>>;

impl LazyGauges {
    pub fn connections(&self) -> u64 {
        let listeners = self.listeners.get().map(Vec::as_slice).unwrap_or_default();
        listeners.iter().map(|listener| listener.counts().client_connections).sum()
    }

    pub fn streams(&self) -> u64 {
        self.workers.get().map_or(0, |workers| workers.streams() as u64)
    }

    pub fn busy_workers(&self) -> u64 {
        self.workers.get().map_or(0, |workers| workers.busy() as u64)
    }
}

/// A gauge for the metrics page.
pub(super) fn figure(
    lazy_gauges: &Arc<LazyGauges>,
    which: fn(&LazyGauges) -> u64,
) -> Box<dyn Fn() -> u64 + Send + Sync> {
    let lazy_gauges = Arc::clone(lazy_gauges);
    Box::new(move || which(&lazy_gauges))
}
