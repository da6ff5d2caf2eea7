//! A child process whose lines are kept, and which does not outlive its test.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use loadbalancer::logging::logfmt;
use parking_lot::Mutex;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::{eventually, patience, skip};

/// The unit of `/proc/PID/stat` (USER_HZ, 100 on every Linux).
const MILLISECONDS_PER_TICK: u64 = 10;

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// The lines of one pipe so far.
struct Lines {
    kept: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it, with none of our own `LB_` variables.
    pub fn spawn(command: Command) -> Process {
        Process::spawn_with_input(command, Stdio::null())
    }

    /// The same with this standard input.
    pub fn spawn_with_input(mut command: Command, input: Stdio) -> Process {
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy().starts_with("LB_");
            if ours && !command.get_envs().any(|(set, _)| set == name) {
                command.env_remove(name);
            }
        }
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Process { child, stdout, stderr }
    }

    /// Its standard output so far, line by line.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.kept.lock().clone()
    }

    /// Its standard error so far, line by line.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.kept.lock().clone()
    }

    /// A figure of `/proc/PID/status` that is given in kB, in bytes.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes = line.unwrap().trim().strip_suffix(" kB").expect("kilobytes");
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    /// Processor time so far, of all its threads.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * MILLISECONDS_PER_TICK)
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Threads.
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Those that have taken over from it, one after the other, by itself or because they were asked to. By the
    /// numbers that they have where it runs; in a namespace of its own that is not here.
    pub fn successors(&self) -> Vec<Pid> {
        let lines = self.stderr().into_iter().filter(|line| line.contains("another process has taken over"));
        let pid_of = |line: String| fields(&line).into_iter().find(|(name, _)| name == "pid");
        lines.filter_map(pid_of).filter_map(|(_, pid)| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Those of its children that have not ended, where it has been taken over from.
    fn heirs(&mut self) -> Vec<OwnedFd> {
        if self.successors().is_empty() || !self.is_running() {
            return Vec::new();
        }
        let children = children(self.pid());
        children.into_iter().filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect()
    }

    /// Waits for its end; all its lines are there afterwards.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let status = eventually("the process ends", || self.child.try_wait().unwrap());
        self.stdout.join();
        self.stderr.join();
        status
    }

    /// Waits for its end so many times as long as for anything else, and takes all it left.
    #[track_caller]
    pub fn finish_patiently(mut self, times: u32) -> Finished {
        let deadline = Instant::now() + patience() * times;
        while self.is_running() && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(50));
        }
        self.finish()
    }

    /// Waits for its end and takes all it left.
    pub fn finish(mut self) -> Finished {
        let code = self.wait_exit().code();
        Finished { code, stdout: self.stdout().join("\n"), stderr: self.stderr().join("\n") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let heirs = self.heirs();
        let _ = self.child.kill();
        let _ = self.child.wait();
        heirs.iter().for_each(|heir| _ = pidfd_send_signal(heir, Signal::KILL));
        if thread::panicking() {
            eprintln!("--- standard error of {}:\n{}", self.child.id(), self.stderr().join("\n"));
        }
    }
}

/// The children of a process, whichever of its threads has started them.
pub fn children(of: impl std::fmt::Display) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    listed
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&kept);
        let read = move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.lock().push(line);
            }
        };
        Lines { kept, reader: Some(thread::spawn(read)) }
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A line's pairs; panics where it is not logfmt.
pub fn fields(line: &str) -> Vec<(String, String)> {
    logfmt::parse(line).unwrap_or_else(|| panic!("not logfmt: {line}"))
}

/// A Python that has this module: the one that `tests/clients/install` makes, or the system's. Without one
/// the test is skipped.
pub fn python_with(module: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/bin/python");
    let found = [own, PathBuf::from("python3")].into_iter().find(|python| {
        let found = Command::new(python).args(["-c", &format!("import {module}")]).output();
        found.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        skip(&format!("no Python with `{module}`; tests/clients/install gets it"));
    }
    found
}

/// Another balancer's program, if it can be had: from `tests/peers/install`, or the system's.
pub fn peer(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    let search = std::env::var_os("PATH").unwrap_or_default();
    let places = [own.clone(), own.join("usr/sbin")];
    let found = places
        .into_iter()
        .chain(std::env::split_paths(&search))
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|it| it.is_file());
    if found.is_none() {
        skip(&format!("no {name}; tests/peers/install gets it"));
    }
    found
}
