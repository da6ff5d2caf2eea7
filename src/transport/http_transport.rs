//! The [`Transport`] over sockets.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::dialer::dialer;
use super::exchange::exchange;
use super::idle::ConnectionPool;
use super::{AttemptError, BackendReply, Outgoing, Transport};
use crate::pool::Backend;

/// Keeps a connection pool for each backend.
#[derive(Default)]
pub struct HttpTransport {
    links: RwLock<HashMap<u64, Arc<ConnectionPool>>>,
}

impl Transport for HttpTransport {
    fn send(&self, backend: &Backend, request: Outgoing<'_>) -> Result<BackendReply, AttemptError> {
        exchange(&self.link(backend), request)
    }

    fn forget(&self, backend: &Backend) {
        self.links.write().remove(&backend.id());
    }

    fn tidy(&self) {
        let links: Vec<Arc<ConnectionPool>> = self.links.read().values().map(Arc::clone).collect();
        links.iter().for_each(|link| link.tidy());
    }
}

impl HttpTransport {
    /// Takes a lock.
    fn link(&self, backend: &Backend) -> Arc<ConnectionPool> {
        if let Some(link) = self.links.read().get(&backend.id()) {
            return Arc::clone(link);
        }
        let mut links = self.links.write();
        let link = || {
            let (book, idle_time) = (backend.resolved_addresses(), Arc::clone(backend.idle_time()));
            ConnectionPool::new(dialer(backend, None), book, idle_time, Arc::clone(backend.traffic()))
        };
        Arc::clone(links.entry(backend.id()).or_insert_with(|| Arc::new(link())))
    }
}
