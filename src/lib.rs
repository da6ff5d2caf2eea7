//! An HTTP/1.1 reverse-proxy load balancer on threads. The way of a request is described in ARCHITECTURE.md;
//! this is an overview of the modules.
//!
//! - base: [`http`], [`config`], [`logging`], [`shutdown`], [`watch`], [`client_side`], [`duplex`],
//!   [`readiness`], [`supervised`], [`histogram`], [`traffic`]
//! - decisions: [`pool`], [`balance`], [`rules`], [`metrics`], [`explain`]
//! - sockets: [`frontend`] (clients), [`transport`] (backends), both with [`tls`] if configured
//! - forwarding: [`proxy`]
//! - running: [`app`], [`workers`], [`middleware`], [`endpoints`], [`health_checker`], [`names`],
//!   [`descriptors`], [`reload`], [`renewal`], [`service_manager`], [`cli`]
//! - further commands: [`demo`], [`replay`], [`convert`], [`drill`], [`check`], [`client_commands`]; the last
//!   three read answers with [`http_client`], on [`http_stream`]

pub mod app;
pub mod balance;
pub mod check;
pub mod cli;
pub mod client_commands;
pub mod client_side;
pub mod config;
pub mod convert;
pub mod demo;
pub mod descriptors;
pub mod drill;
pub mod duplex;
pub mod endpoints;
pub mod explain;
pub mod frontend;
pub mod health_checker;
pub mod histogram;
pub mod http;
pub mod http_client;
pub mod http_stream;
pub mod logging;
pub mod metrics;
pub mod middleware;
pub mod names;
pub mod pool;
pub mod proxy;
pub mod readiness;
pub mod reload;
pub mod renewal;
pub mod replay;
pub mod rules;
pub mod service_manager;
pub mod shutdown;
pub mod supervised;
mod sync;
pub mod tls;
pub mod traffic;
pub mod transport;
pub mod watch;
pub mod workers;
