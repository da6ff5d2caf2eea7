//! The algorithms: one file each, and one line each in [`balancer`].
//!
//! They choose and nothing else: health, counting, retrying and draining live in `pool` and `proxy`.

mod ip_hash;
mod least_conn;
mod round_robin;

#[cfg(test)]
mod laws;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::config::Algorithm;
use crate::pool::{Balancer, ClientKey};

/// The balancer of that name.
pub fn balancer(algorithm: Algorithm) -> Box<dyn Balancer> {
    match algorithm {
        Algorithm::RoundRobin => Box::new(round_robin::RoundRobin::default()),
        Algorithm::LeastConn => Box::new(least_conn::LeastConn::default()),
        Algorithm::IpHash => Box::new(ip_hash::IpHash),
        // The configuration refuses these as "not supported yet".
        Algorithm::PowerOfTwo | Algorithm::ConsistentHash => Box::new(round_robin::RoundRobin::default()),
    }
}

/// One `fetch_add` a request, so that no two requests see the same turn. A retry takes none: it would
/// lead the next request to the same backend again, of two the one that refuses.
fn next_turn(turn: &AtomicUsize, client: &ClientKey) -> usize {
    if client.is_retry { turn.load(Relaxed) } else { turn.fetch_add(1, Relaxed) }
}
