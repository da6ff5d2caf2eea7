//! Why a drill was not held.

use std::io;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// There is no such scenario.
    Usage(String),
    /// The drill could not be held.
    Run(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Run(error.to_string())
    }
}
