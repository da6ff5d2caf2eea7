//! Access lines and events, and the files they go to.

mod log;
mod log_files;
