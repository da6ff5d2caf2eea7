//! The balancer as its users meet it: the real binary, real sockets, loopback only. The folders are
//! named after the sections of what users see. Every wait ends at an event; `LB_TEST_PATIENCE=5` makes all of them
//! five times as patient, for a machine that is busy.
#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

mod backends;
mod balance;
mod bodies;
mod bounds;
mod command_line;
mod configuration;
mod edge;
mod ending;
mod endpoints;
mod failures;
mod health_checks;
mod logs;
mod messages;
mod processes;
mod promises;
mod regressions;
mod sockets;
mod support;
