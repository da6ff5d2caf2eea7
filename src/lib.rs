//! A load balancer.

pub mod config;
pub mod demo;
