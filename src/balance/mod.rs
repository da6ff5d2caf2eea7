//! The algorithms: one file each, and one line each in [`balancer`].
//!
//! Algorithms only choose: health, counting, retrying and draining are in `pool` and `proxy`.

mod consistent_hash;
mod ip_hash;
mod least_conn;
mod power_of_two;
pub mod rendezvous;
mod round_robin;
mod smooth;

#[cfg(test)]
mod laws;

use crate::config::Algorithm;
use crate::pool::Balancer;

/// The balancer for this algorithm.
pub fn balancer(algorithm: Algorithm) -> Box<dyn Balancer> {
    match algorithm {
        Algorithm::RoundRobin => Box::new(round_robin::RoundRobin::default()),
        Algorithm::LeastConn => Box::new(least_conn::LeastConn::default()),
        Algorithm::IpHash => Box::new(ip_hash::IpHash),
        Algorithm::PowerOfTwo => Box::new(power_of_two::PowerOfTwo::default()),
        Algorithm::ConsistentHash => Box::new(consistent_hash::ConsistentHash),
    }
}
