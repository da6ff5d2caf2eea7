//! Errors that keep the balancer from starting.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::ListenAddress;

/// See the module.
#[derive(Debug)]
pub enum StartError {
    /// The address is in use, or not one of this machine.
    Listen(ListenAddress, io::Error),
    /// The operating system refused a thread or a socket.
    System(io::Error),
    /// Files named in the configuration can't be used; each with the reason.
    Files(Vec<String>),
    /// The pid file can't be written.
    PidFile(PathBuf, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            StartError::System(error) => write!(f, "cannot start: {error}"),
            StartError::PidFile(path, error) => {
                write!(f, "--pid-file {}: cannot be written: {error}", path.display())
            }
            StartError::Files(problems) => f.write_str(&problems.join("\n")),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::System(error)
    }
}
