//! The embedded backends.

pub mod echo;
