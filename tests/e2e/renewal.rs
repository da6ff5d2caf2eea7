//! SIGUSR2: a fresh process takes the listening socket over, and nobody notices.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{Answer, Backend, Balancer, Behaviour, Client, config, eventually, fields};

/// A balancer and its successors; the last one is killed at the end.
struct Line {
    balancer: Balancer,
    successors: Vec<i32>,
}

impl Line {
    fn start(backend: &Backend) -> Line {
        Line {
            balancer: Balancer::start(config(&[backend], json!({ "workers": 16 }))),
            successors: Vec::new(),
        }
    }

    /// Asks the current process for a renewal and waits until the next one serves.
    fn renew(&mut self) {
        match self.successors.last() {
            Some(pid) => signal(*pid, Signal::USR2),
            None => self.balancer.signal(Signal::USR2),
        }
        let wanted = self.successors.len() + 1;
        let line = eventually("another process has taken over", || {
            self.balancer.log_lines_with("another process has taken over").get(wanted - 1).cloned()
        });
        let pid = fields(&line).into_iter().find(|(name, _)| name == "pid").expect("a pid").1;
        self.successors.push(pid.parse().unwrap());
    }

    /// The accounts of the processes that have ended.
    fn accounts(&self) -> Vec<String> {
        self.balancer.log_lines_with("msg=\"stopped\"")
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for pid in &self.successors {
            // Those before the last have mostly ended.
            let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
        }
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).expect("the process is there");
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
