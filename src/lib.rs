//! A load balancer.

pub mod balance;
pub mod config;
pub mod demo;
pub mod http;
pub mod logging;
pub mod pool;
pub mod shutdown;
pub mod transport;
pub mod frontend;
