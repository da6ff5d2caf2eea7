//! What operators want to know of the process itself: which program and configuration run, how the last
//! reload went, how much room is left, and until when certificates are valid. Read by others, told here.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::time::rfc3339;
use crate::pool::Live;

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the configuration was last read.
#[derive(Debug, Clone)]
pub struct LastReload {
    /// When the one that is in force was read.
    pub loaded: SystemTime,
    /// When one was last read, whatever came of it.
    pub tried: SystemTime,
    /// What was wrong with that one; `None` where it is in force.
    pub mistakes: Option<String>,
}

/// A certificate of the TLS listener.
#[derive(Debug, Clone)]
pub struct CertificateLife {
    /// The file that it came from.
    pub file: String,
    /// Until when it is valid.
    pub expires: SystemTime,
}

/// What the operating system knows of the process; `None` for what it does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process {
    /// Processor time so far, of all threads.
    pub cpu: Option<Duration>,
    /// Memory that is really there.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// How many there may be.
    pub max_fds: Option<u64>,
}

/// All of it.
pub struct Operation {
    /// Workers that have a request.
    pub busy_workers: u64,
    /// When the process started.
    pub started: SystemTime,
    /// See [`LastReload`].
    pub reload: LastReload,
    /// See [`CertificateLife`].
    pub certificates: Vec<CertificateLife>,
    /// Names whose addresses are backends of their own.
    pub names: Vec<NameLife>,
    /// See [`Process`].
    pub process: Process,
    /// The machine's name, where it has one.
    pub hostname: Option<String>,
}

/// What is known of a backend's name whose addresses are backends of their own.
#[derive(Debug, Clone)]
pub struct NameLife {
    /// The pool that it is in.
    pub pool: String,
    /// As configured.
    pub name: String,
    /// Addresses that are used ...
    pub addresses: usize,
    /// ... of which the last answer lacked some ...
    pub absent: usize,
    /// ... and those beyond the most.
    pub left_out: usize,
    /// When it was last answered for.
    pub last_answer: Option<SystemTime>,
    /// For how long that holds, where somebody has said so.
    pub ttl: Option<Duration>,
    /// Why the last look-up failed.
    pub failure: Option<String>,
}

impl NameLife {
    fn to_json(&self) -> Value {
        json!({
            "pool": self.pool,
            "name": self.name,
            "addresses": self.addresses,
            "absent": self.absent,
            "left_out": self.left_out,
            "last_answer": self.last_answer.map(rfc3339),
            "ttl_seconds": self.ttl.map(|ttl| ttl.as_secs()),
            "last_error": self.failure,
        })
    }
}

impl Operation {
    /// As fields of the JSON page.
    pub(super) fn fields(&self, live: &Live) -> Map<String, Value> {
        let (limits, reload, process) = (&live.config.limits, &self.reload, &self.process);
        let certificate = |it: &CertificateLife| json!({ "file": it.file, "expires": rfc3339(it.expires) });
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
            "certificates": self.certificates.iter().map(certificate).collect::<Vec<_>>(),
            "names": self.names.iter().map(NameLife::to_json).collect::<Vec<_>>(),
            "process": {
                "cpu_seconds": process.cpu.map(|time| time.as_secs_f64()),
                "resident_memory_bytes": process.resident_bytes,
                "open_fds": process.open_fds,
                "max_fds": process.max_fds,
            },
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}
