//! How a process like this one is started.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Marks a process that is started to take over.
pub const MARK: &str = "LB_RENEWAL";

/// How this process was started, to start another one like it.
#[derive(Debug, Clone)]
pub struct Origin {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Origin {
    /// Taken at the start: later the file may have been replaced, which is the point of it.
    ///
    /// # Errors
    /// The system does not tell the program's file.
    pub fn of_this_process() -> io::Result<Origin> {
        Ok(Origin { program: std::env::current_exe()?, arguments: std::env::args_os().skip(1).collect() })
    }
}
