//! SIGUSR2: a fresh process takes the listening socket over, and nobody notices. Also a socket that a
//! service manager has opened.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::{Answer, Backend, Balancer, Behaviour, Client, config, eventually};

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
fn keep_asking(address: SocketAddr, stop: &AtomicBool, answered: &AtomicU64) {
    while !stop.load(Relaxed) {
        let mut client = Client::connect(address);
        loop {
            let answer = client.get("/");
            assert_eq!(answer.status, 200);
            answered.fetch_add(1, Relaxed);
            if answer.header("connection") == Some("close") || stop.load(Relaxed) {
                break;
            }
        }
    }
}

#[test]
fn ten_renewals_under_load_lose_no_request() {
    let backend = Backend::named("one");
    let mut line = Line::start(&backend);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = line.balancer.address();
    thread::scope(|scope| {
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(|| keep_asking(address, &stop, &answered))).collect();
        for _ in 0..10 {
            let before = answered.load(Relaxed);
            line.renew();
            eventually("answers go on", || answered.load(Relaxed) > before + 20);
        }
        stop.store(true, Relaxed);
        // A panic in one of them is a lost request.
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });
    eventually("the old processes have ended", || line.accounts().len() == 10);
    assert!(line.accounts().iter().all(|account| account.contains("cut=0")), "{:?}", line.accounts());
}

#[test]
fn an_answer_that_takes_long_is_finished_by_the_old_process() {
    let backend = Backend::that(Behaviour::HoldsHalfWay(Answer::ok("0123456789")));
    let mut line = Line::start(&backend);
    let mut client = line.balancer.connect();
    client.ask("GET", "/", &[], b"");
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
fn a_socket_of_the_service_manager_is_used() {
    let backend = Backend::named("one");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("config.json");
    std::fs::write(&path, config(&[&backend], json!({})).to_string()).unwrap();
    // As a service manager does it: the socket is descriptor 3, and two variables say so.
    let script = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" --config \"$1\"";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_loadbalancer")])
        .arg(&path)
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(Client::connect(address).get("/").status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}
