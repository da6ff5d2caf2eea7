//! An HTTP/1.1 reverse-proxy load balancer on threads. The map of a request's way, top to bottom, is in
//! ARCHITECTURE.md; here is one line a module.
//!
//! - words: [`http`], [`config`], [`logging`], [`shutdown`], [`watch`], [`client_side`], [`duplex`],
//!   [`readiness`], [`supervised`], [`histogram`], [`traffic`]
//! - what decides: [`pool`], [`balance`], [`metrics`], [`explain`]
//! - the edges: [`frontend`] (clients), [`transport`] (backends), on [`tls`] where that is asked for
//! - the line: [`proxy`]
//! - what runs: [`app`], [`workers`], [`middleware`], [`endpoints`], [`health_checker`], [`names`],
//!   [`descriptors`], [`reload`], [`renewal`], [`service_manager`], [`cli`]
//! - to try it out and to ask: [`demo`], [`replay`], [`convert`], [`drill`], [`check`], [`client_commands`]; [`http_client`] reads answers, on [`http_stream`],
//!   for the latter three

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
