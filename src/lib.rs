//! A load balancer.

pub mod app;
pub mod balance;
pub mod cli;
pub mod config;
pub mod demo;
pub mod endpoints;
pub mod frontend;
pub mod health_checker;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod middleware;
pub mod names;
pub mod pool;
pub mod proxy;
pub mod shutdown;
pub mod transport;
pub mod workers;
