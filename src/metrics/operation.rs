//! Figures of the process for operators: the version and configuration in use, the last reload, limits, and
//! the expiry of certificates. Collected by other modules and only formatted here.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::time::{self, rfc3339};
use crate::pool::Live;

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The state of the configuration.
#[derive(Debug, Clone)]
pub struct LastReload {
    /// When the configuration in force was read.
    pub loaded: SystemTime,
    /// When a configuration was last read, successfully or not.
    pub tried: SystemTime,
    /// The mistakes of the last one read; `None` if it is in force.
    pub mistakes: Option<String>,
}

/// A certificate of the TLS listener.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateLife {
    /// The certificate's file.
    pub file: String,
    /// The end of its validity.
    #[serde(serialize_with = "time::as_rfc3339")]
    pub expires: SystemTime,
}

/// Figures from the operating system; `None` for those that it does not provide.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Process {
    /// Processor time of all threads.
    #[serde(rename = "cpu_seconds", serialize_with = "time::as_optional_seconds")]
    pub cpu: Option<Duration>,
    /// Resident memory.
    #[serde(rename = "resident_memory_bytes")]
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Limit of open file descriptors.
    pub max_fds: Option<u64>,
}

/// All figures of the process.
pub struct Operation {
    /// Workers with a request.
    pub busy_workers: u64,
    /// When the process started.
    pub started: SystemTime,
    /// See [`LastReload`].
    pub reload: LastReload,
    /// See [`CertificateLife`].
    pub certificates: Vec<CertificateLife>,
    /// Names whose addresses are each a backend.
    pub names: Vec<NameLife>,
    /// See [`Process`].
    pub process: Process,
    /// The machine's host name, if it has one.
    pub hostname: Option<String>,
}

/// The state of a backend's name whose addresses are each a backend.
#[derive(Debug, Clone, Serialize)]
pub struct NameLife {
    /// The name's pool.
    pub pool: String,
    /// The name as configured.
    pub name: String,
    /// Number of addresses in use.
    pub addresses: usize,
    /// How many of these were missing in the last answer.
    pub absent: usize,
    /// How many addresses are not used because there are too many.
    pub left_out: usize,
    /// Time of the last answer.
    #[serde(serialize_with = "time::as_optional_rfc3339")]
    pub last_answer: Option<SystemTime>,
    /// How long that answer is valid, if known.
    #[serde(rename = "ttl_seconds", serialize_with = "time::as_optional_whole_seconds")]
    pub ttl: Option<Duration>,
    /// Why the last look-up failed; `None` if it succeeded.
    #[serde(rename = "last_error")]
    pub failure: Option<String>,
}

impl Operation {
    /// The fields of the JSON page.
    pub(super) fn fields(&self, live: &Live) -> Map<String, Value> {
        let (limits, reload) = (&live.config.limits, &self.reload);
        let fields = json!({
            "version": VERSION,
            "hostname": self.hostname,
            "started": rfc3339(self.started),
            "workers": live.config.workers,
            "busy_workers": self.busy_workers,
            "limits": {
                "max_connections": limits.max_connections,
                "max_queue": limits.max_queue,
                "max_streams": limits.max_streams,
            },
            "configuration": {
                "hash": live.config_hash(),
                "loaded": rfc3339(reload.loaded),
                "last_reload": rfc3339(reload.tried),
                "last_reload_succeeded": reload.mistakes.is_none(),
                "mistakes": reload.mistakes,
            },
            "certificates": self.certificates,
            "names": self.names,
            "process": self.process,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}
