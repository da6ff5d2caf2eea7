//! Counts bytes in both directions, with one relaxed addition for each system call that reads or writes.
//!
//! Counts the bytes of HTTP and of tunnels, including heads and chunk framing, but not the overhead of TLS.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// Counts received bytes.
    pub fn has_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts sent bytes.
    pub fn has_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }

    /// Number of bytes received.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Number of bytes sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}
