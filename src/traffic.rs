//! Bytes both ways, counted as they pass: one relaxed addition a read or a write, beside a system call.
//!
//! They are those of HTTP and of tunnels: heads and chunks' framing belong to them, TLS's own do not.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// That many have come from the other side.
    pub fn has_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    /// That many have gone to it.
    pub fn has_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }

    /// All that have come.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// All that have gone.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}
