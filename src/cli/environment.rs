//! The environment, read nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Overrides;

/// Settings from the environment.
#[derive(Debug, Default)]
pub struct Environment {
    /// `LB_CONFIG`.
    pub config: Option<PathBuf>,
    /// `LB_DEBUG`.
    pub debug: bool,
    /// Whether this process was started by another balancer process to take over from it.
    pub renewal: bool,
    /// `NOTIFY_SOCKET`: where a service manager expects reports.
    pub notify_socket: Option<OsString>,
    /// `WATCHDOG_USEC`: how long the service manager waits for a sign of life.
    pub watchdog: Option<Duration>,
    /// `WATCHDOG_PID`: the process that the watchdog is for.
    pub watchdog_pid: Option<u32>,
    /// `LB_ALGORITHM` and `LB_LISTEN`, and the variables for `${NAME}` in the file.
    pub overrides: Overrides,
}

impl Environment {
    /// Whether the watchdog expects signs of life from this process, or from the one that it replaces.
    pub fn is_watched(&self) -> bool {
        self.renewal || self.watchdog_pid.is_none_or(|pid| pid == std::process::id())
    }
}

/// Reads the environment. Empty variables count as unset.
pub fn environment() -> Environment {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let text = |name: &str| var(name).map(|value| (name.to_owned(), value.to_string_lossy().into_owned()));
    let number = |name: &str| var(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
    Environment {
        config: var("LB_CONFIG").map(PathBuf::from),
        debug: var("LB_DEBUG").is_some_and(|value| value != "0" && value != "false"),
        renewal: var(crate::renewal::MARK).is_some(),
        notify_socket: var("NOTIFY_SOCKET"),
        watchdog: number("WATCHDOG_USEC").filter(|usec| *usec > 0).map(Duration::from_micros),
        watchdog_pid: number("WATCHDOG_PID").and_then(|pid| u32::try_from(pid).ok()),
        overrides: Overrides {
            algorithm: text("LB_ALGORITHM"),
            listen: text("LB_LISTEN"),
            variables: std::env::vars_os().collect(),
        },
    }
}
