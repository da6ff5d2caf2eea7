//! Two logs: the event log on standard error and the access log on standard output, or in files ([`Logs`]).
//!
//! A line is built completely in this module, so that every value is escaped in one place
//! ([`line`](mod@line)); simplelog passes on the lines of the event log. A bounded queue ([`writer`]) hands
//! the lines to a writer thread, so that no request ever waits for a terminal, a pipe or a disk.

pub mod combined;
mod events;
pub mod line;
pub mod logfmt;
mod logs;
mod output;
pub mod writer;

pub use events::{event, log_panics};
pub use logs::{Logs, Opened, problems};
