//! The balancer under drill: a child process of the same binary, its configuration file, and its log.

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

/// How long the child may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How often its log is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// Lines of its log that are kept.
const MAX_LINES: usize = 10_000;
/// What would win over the file.
const OVERRIDES: [&str; 4] = ["LB_CONFIG", "LB_ALGORITHM", "LB_LISTEN", "LB_DEBUG"];

/// A running balancer; killed when dropped, its folder removed.
pub struct Balancer {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
    shutdown: ShutdownSignal,
}

/// Its lines, and how many came before those that are kept.
#[derive(Default)]
struct Log {
    lines: VecDeque<String>,
    dropped: usize,
}

impl Balancer {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// The operating system's, or what its log said last.
    pub fn start(config: &Value, shutdown: &ShutdownSignal) -> io::Result<Balancer> {
        let folder = std::env::temp_dir().join(format!("loadbalancer-drill-{:016x}", fastrand::u64(..)));
        // Nobody else's: another user could write a configuration of his own into it.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many lines its log has.
    pub fn log_length(&self) -> usize {
        let log = self.log.lock();
        log.dropped + log.lines.len()
    }

    /// The first such line from the number `from` on, as soon as there is one.
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

    /// Replaces its configuration and asks it to read it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn reload(&self, config: &Value) -> io::Result<()> {
        fs::write(self.folder.join("config.json"), config.to_string())?;
        self.signal(Signal::HUP)
    }

    /// Asks it to drain and end.
    ///
    /// # Errors
    /// The operating system's.
    pub fn drain(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// How it has ended, within this time.
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
