//! How to start another process like this one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// The environment variable that marks a process started to take over.
pub const MARK: &str = "LB_RENEWAL";

/// The program and arguments of this process.
#[derive(Debug, Clone)]
pub struct Origin {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Origin {
    /// Must be called at the start: later the program's file may have been replaced, which is why a renewal
    /// uses its path.
    ///
    /// # Errors
    /// The system does not know the program's file.
    pub fn of_this_process() -> io::Result<Origin> {
        Ok(Origin { program: std::env::current_exe()?, arguments: std::env::args_os().skip(1).collect() })
    }
}
