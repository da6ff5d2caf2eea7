//! The balancer under test: the real binary on a free port.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Backend, Client, Finished, Process, Response, Signal, eventually, fields};

/// A running balancer; killed when dropped.
pub struct Balancer {
    process: Process,
    address: SocketAddr,
    files: Option<TempDir>,
}

/// A configuration over these backends, quick enough for tests; `more` is laid over it.
pub fn config(backends: &[&Backend], more: Value) -> Value {
    let urls: Vec<_> = backends.iter().map(|backend| json!({ "url": backend.url() })).collect();
    let mut config = json!({
        "listen": "127.0.0.1:0",
        "backends": urls,
        "health_check": { "interval": "100ms", "timeout": "2s" },
        "retry": { "delay": "1ms" },
    });
    if !behind_front() {
        config["front"] = json!(false);
    }
    lay_over(&mut config, more);
    config
}

/// Whether the front accepts for the balancers under test; `LB_TEST_FRONT=0` has tiny_http do it.
pub fn behind_front() -> bool {
    std::env::var_os("LB_TEST_FRONT").is_none_or(|front| front != "0")
}

/// Lays `more` over it, field by field.
pub fn lay_over(config: &mut Value, more: Value) {
    match (config, more) {
        (Value::Object(config), Value::Object(more)) => {
            for (name, value) in more {
                lay_over(config.entry(name).or_insert(Value::Null), value);
            }
        }
        (place, value) => *place = value,
    }
}

/// `loadbalancer demo`, with what it prints.
pub fn demo() -> Process {
    Run::of(["demo"]).spawn()
}

/// A run of the binary, still to be started.
pub struct Run {
    command: Command,
    files: Option<TempDir>,
    socket: Option<TcpListener>,
}

impl Run {
    /// With these arguments.
    pub fn of<const N: usize>(arguments: [&str; N]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadbalancer"));
        command.args(arguments);
        Run { command, files: None, socket: None }
    }

    /// Of another copy of the binary, with this configuration in a file.
    pub fn of_copy(program: &Path, config: &Value) -> Run {
        let mut command = Command::new(program);
        command.arg("--config");
        Run { command, files: None, socket: None }.file(&config.to_string())
    }

    /// By this command.
    pub fn of_command(command: Command) -> Run {
        Run { command, files: None, socket: None }
    }

    /// With this configuration in a file, and `--config` before its name.
    pub fn with(config: &Value) -> Run {
        Run::of(["--config"]).file(&config.to_string())
    }

    /// Lets it have no more than so many open files.
    pub fn open_files(mut self, most: usize) -> Run {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]);
        limited.arg(self.command.get_program()).args(self.command.get_args());
        self.command = limited;
        self
    }

    /// Gives it a file with this text as standard input.
    pub fn input(mut self, text: &str) -> Run {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("input");
        std::fs::write(&path, text).unwrap();
        let mut fed = Command::new("sh");
        fed.args(["-c", &format!("exec \"$0\" \"$@\" < {}", path.display())]);
        fed.arg(self.command.get_program()).args(self.command.get_args());
        self.command = fed;
        self.files = Some(files);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Run {
        self.command.arg(argument);
        self
    }

    /// Adds a file with this text to the arguments.
    pub fn file(mut self, text: &str) -> Run {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        self.command.arg(path);
        self.files = Some(files);
        self
    }

    /// Adds a variable that holds the name of a file with this text.
    pub fn env_file(mut self, name: &str, text: &str) -> Run {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        self.command.env(name, path);
        self.files = Some(files);
        self
    }

    /// Adds a variable.
    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.command.env(name, value);
        self
    }

    /// Gives it this socket as a service manager does: it is descriptor 3, and two variables say so.
    pub fn on_socket(mut self, listener: &TcpListener) -> Run {
        let script = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";
        let mut given = Command::new("sh");
        given.args(["-c", script]).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            given.env(name, value.unwrap_or_default());
        }
        self.command = given;
        self.socket = Some(listener.try_clone().unwrap());
        self
    }

    /// Starts it, whatever it will do.
    pub fn spawn(self) -> Process {
        Process::spawn(self.command)
    }

    /// Runs it to its end.
    pub fn output(self) -> Finished {
        Process::spawn(self.command).finish()
    }

    /// Runs it to its end, which may be so many times as far away as anything else.
    pub fn long_output(self, times: u32) -> Finished {
        Process::spawn(self.command).finish_patiently(times)
    }

    /// Starts it as a balancer that serves.
    pub fn start(self) -> Balancer {
        let input = self.socket.map_or_else(Stdio::null, |socket| OwnedFd::from(socket).into());
        let process = Process::spawn_with_input(self.command, input);
        let listening = || process.stderr().iter().find_map(|line| listening_address(line));
        let address = eventually("the balancer listens", listening);
        Balancer { process, address, files: self.files }
    }
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    if let Ok(event) = serde_json::from_str::<Value>(line) {
        return event["address"].as_str().filter(|_| event["msg"] == "listening")?.parse().ok();
    }
    let (_, after) = line.split_once("msg=\"listening\"")?;
    let (_, after) = after.split_once("address=")?;
    after.split(' ').next()?.parse().ok()
}

impl Balancer {
    /// Starts one with this configuration.
    pub fn start(config: Value) -> Balancer {
        Run::with(&config).start()
    }

    /// Starts one whose events go to this file.
    pub fn start_logging_to(file: &Path, config: &Value) -> Balancer {
        let run = Run::with(config);
        let process = Process::spawn(run.command);
        let lines = || std::fs::read_to_string(file).unwrap_or_default();
        let address = eventually("the balancer listens", || lines().lines().find_map(listening_address));
        Balancer { process, address, files: run.files }
    }

    /// Starts one over these backends, and otherwise with the defaults of the tests.
    pub fn over(backends: &[&Backend]) -> Balancer {
        Balancer::start(config(backends, json!({})))
    }

    /// Waits until every backend has had its first probe.
    pub fn once_probed(self) -> Balancer {
        eventually("every backend was probed", || {
            let metrics = self.metrics();
            metrics["backends"].as_array().unwrap().iter().all(|b| !b["last_checked"].is_null())
        });
        self
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> std::path::PathBuf {
        self.files.as_ref().expect("it was started with a file").path().join("config.json")
    }

    /// Replaces its configuration file.
    pub fn write_config(&self, text: &str) {
        std::fs::write(self.config_file(), text).unwrap();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens as well, as `tls` or as `admin`; of a line of processes, the last one.
    pub fn address_as(&self, kind: &str) -> SocketAddr {
        let line = self.wait_for_log(&format!("as={kind}"));
        line.split("at=").nth(1).unwrap().trim().parse().unwrap()
    }

    /// A new connection to it.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A new connection to it, with a GET that waits for its answer.
    pub fn asking(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.ask("GET", path, &[], b"");
        client
    }

    /// A GET on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[], b"")
    }

    /// A GET that says it was forwarded for this client.
    pub fn get_for(&self, client: &str, path: &str) -> Response {
        self.ask("GET", path, &[("X-Forwarded-For", client)], b"")
    }

    /// A request on a connection of its own; a body is announced by its length.
    pub fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Response {
        let mut client = self.connect();
        client.ask(method, path, fields, body);
        client.read_response_to(method)
    }

    /// `/lb-metrics`.
    pub fn metrics(&self) -> Value {
        self.get("/lb-metrics").json()
    }

    /// `/lb-metrics` once it has counted so many proxied requests. What a page says is a moment behind
    /// what its reader has seen: a request is counted when it has ended, its answer's arrival is not that.
    #[track_caller]
    pub fn metrics_after(&self, total: u64) -> Value {
        self.metrics_when("total_requests", total)
    }

    /// `/lb-metrics` once this field has this value.
    #[track_caller]
    pub fn metrics_when(&self, name: &str, value: u64) -> Value {
        eventually(&format!("{name} is {value}"), || {
            Some(self.metrics()).filter(|metrics| metrics[name] == value)
        })
    }

    /// Who answers so many requests, by what they say.
    pub fn shares(&self, requests: usize) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            *shares.entry(self.get("/").text().to_owned()).or_default() += 1;
        }
        shares
    }

    /// How many backends there are.
    pub fn total_backends(&self) -> Value {
        self.metrics()["total_backends"].clone()
    }

    /// The `state` of each backend, in the configuration's order.
    pub fn states(&self) -> Vec<String> {
        let metrics = self.metrics();
        let backends = metrics["backends"].as_array().unwrap();
        backends.iter().map(|backend| backend["state"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the backends are in these states.
    #[track_caller]
    pub fn wait_for_states(&self, states: &[&str]) {
        eventually(&format!("states {states:?}"), || self.states() == states);
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until no request is in flight but the one that asks.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        self.metrics_when("active_requests", 0);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait_exit()
    }

    /// The account on the last line of its log, from `accepted=` on; empty where that is another line.
    pub fn account(&self) -> String {
        let last = self.log_lines().pop().unwrap_or_default();
        last.find("accepted=").map_or_else(String::new, |start| last[start..].to_owned())
    }

    /// Its log so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// Lines of its log that contain this text.
    pub fn log_lines_with(&self, text: &str) -> Vec<String> {
        self.log_lines().into_iter().filter(|line| line.contains(text)).collect()
    }

    /// Waits for a line of its log that contains this text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        eventually(&format!("a log line with {text}"), || self.log_lines_with(text).pop())
    }

    /// Its access lines so far.
    pub fn access_lines(&self) -> Vec<String> {
        self.process.stdout()
    }

    /// Waits for the access line of the request with this path.
    #[track_caller]
    pub fn wait_for_access(&self, path: &str) -> String {
        let path = ("path".to_owned(), path.to_owned());
        eventually(&format!("an access line with {path:?}"), || {
            self.access_lines().into_iter().find(|line| fields(line).contains(&path))
        })
    }
}
