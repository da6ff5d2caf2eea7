//! SIGUSR2: a fresh process takes the listening socket over, and nobody notices.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::{
    Admin, Answer, Backend, Balancer, Behaviour, Client, Run, Stop, children, config, eventually, skip,
};

/// A balancer and its successors.
struct Line {
    balancer: Balancer,
}

impl Line {
    fn start(backend: &Backend) -> Line {
        Line { balancer: Balancer::start(config(&[backend], json!({ "workers": 16 }))) }
    }

    /// Asks the current process for a renewal and waits until the next one serves.
    fn renew(&mut self) {
        let before = self.balancer.process().successors();
        match before.last() {
            Some(pid) => kill_process(*pid, Signal::USR2).expect("the process is there"),
            None => self.balancer.signal(Signal::USR2),
        }
        eventually("another process has taken over", || {
            self.balancer.process().successors().len() > before.len()
        });
    }

    /// The accounts of the processes that have ended.
    fn accounts(&self) -> Vec<String> {
        self.balancer.log_lines_with("msg=\"stopped\"")
    }
}

/// Asks on a kept connection for as long as it is kept, then on a new one; counts the answers.
fn keep_asking(address: SocketAddr, stop: &Stop, answered: &AtomicU64) {
    while !stop.is_set() {
        let mut client = Client::connect(address);
        loop {
            let answer = client.get("/");
            assert_eq!(answer.status, 200);
            answered.fetch_add(1, Relaxed);
            if answer.header("connection") == Some("close") || stop.is_set() {
                break;
            }
        }
    }
}

/// Pieces of a slow answer, and the time between two.
const PIECES: usize = 40;
const PIECE_PAUSE: Duration = Duration::from_millis(50);

/// A backend whose every answer takes two seconds, piece by piece.
fn slow_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |mut stream: TcpStream| -> io::Result<()> {
        stream.read_exact(&mut [0; 16])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
        for _ in 0..PIECES {
            stream.write_all(b"5\r\npiece\r\n")?;
            thread::park_timeout(PIECE_PAUSE);
        }
        stream.write_all(b"0\r\n\r\n")?;
        // What of the request was not read would make the end a reset.
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    };
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Asks for slow answers, one after the other; counts the whole ones.
fn keep_streaming(address: SocketAddr, stop: &Stop, answered: &AtomicU64) {
    while !stop.is_set() {
        let answer = Client::connect(address).get("/slow");
        assert_eq!((answer.status, answer.body.len()), (200, 5 * PIECES));
        answered.fetch_add(1, Relaxed);
    }
}

#[test]
fn ten_renewals_under_load_lose_no_request_and_cut_no_stream() {
    let backend = Backend::named("one");
    let slow = format!("http://{}", slow_backend());
    let more = json!({
        "workers": 32,
        "pools": { "slow": { "backends": [{ "url": slow }], "health_check": { "type": "tcp" } } },
        "routes": [{ "path": "/slow", "pool": "slow" }],
    });
    let mut line = Line { balancer: Balancer::start(config(&[&backend], more)) };
    let (stop, answered, streamed) = (Stop::default(), AtomicU64::new(0), AtomicU64::new(0));
    let address = line.balancer.address();
    thread::scope(|scope| {
        let end = stop.at_the_end();
        let mut clients: Vec<_> =
            (0..8).map(|_| scope.spawn(|| keep_asking(address, &stop, &answered))).collect();
        clients.extend((0..4).map(|_| scope.spawn(|| keep_streaming(address, &stop, &streamed))));
        for _ in 0..10 {
            let before = answered.load(Relaxed);
            line.renew();
            eventually("answers go on", || answered.load(Relaxed) > before + 20);
        }
        drop(end);
        // A panic in one of them is a lost request.
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    assert!(streamed.load(Relaxed) >= 4);
    eventually("the old processes have ended", || line.accounts().len() == 10);
    assert!(line.accounts().iter().all(|account| account.contains("cut=0")), "{:?}", line.accounts());
}

#[test]
fn what_was_set_by_hand_outlives_the_process() {
    let (kept, out) = (Backend::named("kept"), Backend::named("out"));
    let admin = Admin::on_loopback(&[&kept, &out]);
    assert_eq!(admin.post(&format!("/backends/disable?url={}", out.url())).status, 200);
    assert_eq!(admin.post(&format!("/backends/weight?url={}&weight=3", kept.url())).status, 200);
    let mut line = Line { balancer: admin.balancer };
    line.renew();
    line.balancer.wait_for_log("set by hand, as in the process before");
    let metrics = line.balancer.metrics();
    let found =
        [0, 1].map(|index| (&metrics["backends"][index]["state"], &metrics["backends"][index]["weight"]));
    assert_eq!(found, [(&json!("healthy"), &json!(3)), (&json!("disabled"), &json!(1))]);
    (0..3).for_each(|_| assert_eq!(line.balancer.get("/").text(), "kept"));
}

#[test]
fn an_answer_that_takes_long_is_finished_by_the_old_process() {
    let backend = Backend::that(Behaviour::HoldsHalfWay(Answer::ok("0123456789")));
    let mut line = Line::start(&backend);
    let mut client = line.balancer.asking("/");
    client.read_until("01234");
    line.renew();
    assert!(line.accounts().is_empty(), "it still has something to do");
    backend.release();
    client.read_until("56789");
    eventually("the old process has ended", || line.accounts().len() == 1);
}

#[test]
fn a_successor_that_can_not_start_leaves_everything_as_it_was() {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], json!({})));
    balancer.write_config("{ not a configuration");
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("renewal failed, this process goes on");
    assert_eq!(balancer.get("/").status, 200);
}

#[test]
fn a_reload_that_is_asked_for_while_a_renewal_fails_is_done_afterwards() {
    let backend = Backend::named("one");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [program, fails] = ["lb", "fails"].map(|name| folder.path().join(name));
    copy_program(&program);
    // Long enough for the signal to arrive during the renewal; later it would be no test, but no failure either.
    write_by_another(&fails, "#!/bin/sh\nsleep 0.5\nexit 1\n");
    let balancer = Run::of_copy(&program, &config(&[&backend], json!({}))).start();
    std::fs::rename(&fails, &program).unwrap();
    balancer.signal(Signal::USR2);
    eventually("the successor runs", || !children(balancer.pid()).is_empty());
    balancer.signal(Signal::HUP);
    balancer.wait_for_log("renewal failed, this process goes on");
    balancer.wait_for_log("configuration reloaded");
    assert_eq!(balancer.get("/").status, 200);
}

/// Copies the balancer by another process: a file that is open for writing here could not be started, and while
/// some other test starts a process of its own it would be open there, too.
fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_loadbalancer")).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Writes a script in the same way.
fn write_by_another(to: &Path, script: &str) {
    let written = Command::new("sh")
        .args(["-c", r#"printf %s "$1" > "$0" && chmod 755 "$0""#])
        .arg(to)
        .arg(script)
        .status();
    assert!(written.unwrap().success());
}

/// Where this process's program is now; `None` where that file was replaced.
fn program_of(pid: impl std::fmt::Display) -> Option<PathBuf> {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).expect("the process is there");
    (!program.to_string_lossy().ends_with(" (deleted)")).then_some(program)
}

#[test]
fn a_renewal_runs_the_binary_that_is_there_by_then() {
    let backend = Backend::named("one");
    // Where programs can run.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (program, newer) = (folder.path().join("lb"), folder.path().join("newer"));
    copy_program(&program);
    let held = Backend::that(Behaviour::Holds(Answer::ok("held")));
    let pools = json!({
        "pools": { "held": { "backends": [{ "url": held.url() }] } },
        "routes": [{ "path": "/held", "pool": "held" }],
    });
    let balancer = Run::of_copy(&program, &config(&[&backend], pools)).start();
    let mut line = Line { balancer };
    let mut client = line.balancer.asking("/held");
    held.wait_for_heads(1);
    copy_program(&newer);
    std::fs::rename(&newer, &program).unwrap();
    assert_eq!(program_of(line.balancer.pid()), None);
    line.renew();
    let successor = line.balancer.process().successors()[0].as_raw_nonzero();
    assert_eq!(program_of(line.balancer.pid()), None, "the old one runs on, for what it has to finish");
    assert_eq!(program_of(successor), Some(program.canonicalize().unwrap()));
    assert_eq!(line.balancer.get("/").text(), "one");
    held.release();
    assert_eq!(client.read_response().text(), "held");
}

#[test]
fn a_container_outlives_renewals_and_ends_with_the_process_that_serves() {
    let alone = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !Command::new("unshare").args(alone).arg("true").status().is_ok_and(|status| status.success()) {
        skip("no unshare here, or no right to it");
        return;
    }
    let backend = Backend::named("one");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config(&[&backend], json!({})).to_string()).unwrap();
    let mut command = Command::new("unshare");
    command.args(alone).arg(env!("CARGO_BIN_EXE_loadbalancer")).arg("--config").arg(file.path());
    let mut balancer = Run::of_command(command).start();
    let first = eventually("it runs as process 1", || children(balancer.pid()).pop());
    for number in 1..=3 {
        kill_process(first, Signal::USR2).unwrap();
        eventually("the one before has drained", || {
            balancer.log_lines_with("msg=\"stopped\"").len() == number
        });
        eventually("it was reaped", || children(first.as_raw_nonzero()).len() == 1);
        assert_eq!(balancer.get("/").text(), "one");
    }
    kill_process(first, Signal::TERM).unwrap();
    assert_eq!(balancer.wait_exit().code(), Some(0));
    let accounts = balancer.log_lines_with("msg=\"stopped\"");
    assert_eq!(accounts.iter().filter(|account| account.contains("cut=0")).count(), 4, "{accounts:?}");
}
