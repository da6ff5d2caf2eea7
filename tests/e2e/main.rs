//! The balancer as its users meet it: the real binary, real sockets, loopback only. The modules are
//! named after what users see. Every wait ends at an event; `LB_TEST_PATIENCE=5` makes all of them
//! five times as patient, for a machine that is busy.
#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

mod admin;
mod all_listeners;
mod answers;
mod balancing;
mod breaker;
mod breaker_trials;
mod check;
mod cli;
mod client_address;
mod dashboard;
mod defaults;
mod demo;
mod descriptors;
mod draining;
mod drill;
mod edge_limits;
mod explain;
mod framing;
mod headers;
mod health;
mod https_backends;
mod idle_connections;
mod ipv6;
mod last_error;
mod limits;
mod log;
mod long_bodies;
mod metrics;
mod metrics_page;
mod names;
mod pools;
mod promises;
mod queue;
mod reasons;
mod regressions;
mod reload;
mod reload_effects;
mod reload_files;
mod renewal;
mod replay;
mod retries;
mod rolling;
mod routes;
mod service_manager;
mod shares;
mod sticky;
mod stopping;
mod streaming;
mod support;
mod tls;
mod units;
mod upgrade;
mod weights;
