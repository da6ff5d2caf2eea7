//! Errors that prevent a drill.

use std::io;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// There is no scenario with this name.
    Usage(String),
    /// The drill could not be run.
    Run(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Run(error.to_string())
    }
}
