//! The balancer of a drill: a child process of the same binary, its configuration file, and its log.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::shutdown::ShutdownSignal;

/// Time limit until the child listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How often the log is checked.
const LOOK: Duration = Duration::from_millis(10);
/// Limit of log lines kept.
const MAX_LINES: usize = 10_000;
/// Variables that would take precedence over the file.
const OVERRIDES: [&str; 4] = ["LB_CONFIG", "LB_ALGORITHM", "LB_LISTEN", "LB_DEBUG"];

/// A running balancer; when dropped, it is killed and its folder removed.
pub struct Balancer {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
    shutdown: ShutdownSignal,
}

/// The kept lines, and the number of earlier ones.
#[derive(Default)]
struct Log {
    lines: VecDeque<String>,
    dropped: usize,
}

impl Balancer {
    /// Starts the balancer and waits until it listens.
    ///
    /// # Errors
    /// The operating system's, or the last line of its log.
    pub fn start(config: &Value, shutdown: &ShutdownSignal) -> io::Result<Balancer> {
        let folder = std::env::temp_dir().join(format!("loadbalancer-drill-{:016x}", fastrand::u64(..)));
        // Not accessible to other users, who could write another configuration into it.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let file = folder.join("config.json");
        fs::write(&file, config.to_string())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--config").arg(&file);
        OVERRIDES.iter().for_each(|name| _ = command.env_remove(name));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let log = Arc::new(Mutex::new(Log::default()));
        if let Some(stderr) = child.stderr.take() {
            let lines = Arc::clone(&log);
            thread::Builder::new().name("drill-log".into()).spawn(move || keep(stderr, &lines))?;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut balancer = Balancer { child, folder, address, log, shutdown: shutdown.clone() };
        balancer.address = balancer.listening()?;
        Ok(balancer)
    }

    fn listening(&mut self) -> io::Result<SocketAddr> {
        let line = self.wait_for_log(|line| line.contains("msg=\"listening\""), 0, START_LIMIT);
        let address = line.as_deref().and_then(|line| line.split_once(" address=")?.1.split(' ').next());
        address.and_then(|address| address.parse().ok()).ok_or_else(|| {
            let last = self.log.lock().lines.back().cloned().unwrap_or_default();
            io::Error::other(format!("the balancer does not start: {last}"))
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of lines logged so far.
    pub fn log_length(&self) -> usize {
        let log = self.log.lock();
        log.dropped + log.lines.len()
    }

    /// Waits for a matching line, starting at line number `from`, and returns the first one.
    pub fn wait_for_log(&self, is_it: impl Fn(&str) -> bool, from: usize, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        loop {
            let found = {
                let log = self.log.lock();
                let skipped = from.saturating_sub(log.dropped);
                log.lines.iter().skip(skipped).find(|line| is_it(line)).cloned()
            };
            if found.is_some() || Instant::now() >= deadline || self.shutdown.wait(LOOK) {
                return found;
            }
        }
    }

    /// Replaces the configuration file and asks the balancer to reload it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn reload(&self, config: &Value) -> io::Result<()> {
        fs::write(self.folder.join("config.json"), config.to_string())?;
        self.signal(Signal::HUP)
    }

    /// Asks the balancer to drain and end.
    ///
    /// # Errors
    /// The operating system's.
    pub fn drain(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits for the balancer to end and returns its status; `None` if it takes longer than `limit`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn wait_for_end(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() >= deadline || self.shutdown.wait(LOOK) {
                return Ok(ended);
            }
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn keep(stderr: ChildStderr, log: &Mutex<Log>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let mut log = log.lock();
        if log.lines.len() >= MAX_LINES {
            log.lines.pop_front();
            log.dropped += 1;
        }
        log.lines.push_back(line);
    }
}
