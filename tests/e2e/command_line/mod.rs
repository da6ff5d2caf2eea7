//! What is typed: commands, flags, exit statuses.

mod check;
mod cli;
mod convert;
mod demo;
mod drill;
mod explain;
mod health_command;
mod peers_logs;
mod replay;
