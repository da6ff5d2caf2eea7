//! Under a service manager such as systemd: what it is told, and the socket that it has opened.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Client, Run, Signal, Stop, config, eventually, fields, patience};

/// The manager's ear.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message, as pairs of a name and a value.
    #[track_caller]
    fn hears(&self, expected: &[&str]) -> String {
        self.0.set_read_timeout(Some(patience())).unwrap();
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("a message");
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        for pair in expected {
            assert!(message.lines().any(|line| line.starts_with(pair)), "{pair} in {message:?}");
        }
        message
    }

    /// The same, and from whom.
    #[track_caller]
    fn hears_from(&self, pid: u32, expected: &[&str]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        self.0.set_read_timeout(Some(patience())).unwrap();
        let buffer = &mut [IoSliceMut::new(&mut bytes)];
        let length = recvmsg(&self.0, buffer, &mut control, RecvFlags::empty()).expect("a message").bytes;
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        for pair in expected {
            assert!(message.lines().any(|line| line.starts_with(pair)), "{pair} in {message:?}");
        }
        let sender = control.drain().find_map(|it| match it {
            RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials.pid),
            _ => None,
        });
        assert_eq!(sender.unwrap().as_raw_nonzero().get() as u32, pid);
    }

    /// The next message, if one comes in time.
    fn hears_within(&self, limit: Duration) -> Option<String> {
        self.0.set_nonblocking(limit.is_zero()).unwrap();
        self.0.set_read_timeout(Some(limit).filter(|limit| !limit.is_zero())).unwrap();
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    fn hears_nothing_more(&self) {
        self.0.set_nonblocking(true).unwrap();
        assert!(self.0.recv(&mut [0; 64]).is_err());
        self.0.set_nonblocking(false).unwrap();
    }
}

#[test]
fn it_is_told_how_it_goes() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    let backend = Backend::named("one");
    let mut configured = config(&[&backend], json!({ "timeouts": { "drain": "7s", "pre_drain": "1ms" } }));
    let mut balancer = Run::with(&configured).env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    let address = balancer.address();
    manager.hears(&["READY=1", &format!("STATUS=serving on {address}, backends: 1")]);

    configured["backends"][0]["weight"] = json!(5);
    balancer.write_config(&configured.to_string());
    manager.hears(&["RELOADING=1", "MONOTONIC_USEC="]);
    manager.hears(&["READY=1", "STATUS=reloaded: weight"]);
    balancer.write_config("{");
    manager.hears(&["RELOADING=1"]);
    manager.hears(&["READY=1", "STATUS=not reloaded: "]);

    balancer.signal(Signal::HUP);
    manager.hears(&["RELOADING=1"]);
    manager.hears(&["READY=1", "STATUS=not reloaded: "]);
    balancer.signal(Signal::TERM);
    manager.hears(&["STOPPING=1", "EXTEND_TIMEOUT_USEC=12001000"]);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    manager.hears_nothing_more();
}

#[test]
fn its_main_process_stays_the_same_and_tells_for_all() {
    let name = format!("loadbalancer-e2e-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager(UnixDatagram::bind_addr(&address).unwrap());
    rustix::net::sockopt::set_socket_passcred(&manager.0, true).unwrap();
    let backend = Backend::named("one");
    let run = Run::with(&config(&[&backend], json!({})));
    let mut balancer = run.env("NOTIFY_SOCKET", &format!("@{name}")).start();
    manager.hears(&["READY=1"]);
    for _ in 0..2 {
        balancer.signal(Signal::USR2);
        // Of the new process, through the first one.
        manager.hears_from(balancer.pid(), &["READY=1", "STATUS=serving on "]);
    }
    eventually("the first two have drained", || balancer.log_lines_with("msg=\"stopped\"").len() == 2);
    // The end of an old process is not the end of the service.
    manager.hears_nothing_more();
    balancer.signal(Signal::HUP);
    manager.hears_from(balancer.pid(), &["RELOADING=1"]);
    manager.hears_from(balancer.pid(), &["READY=1", "STATUS="]);
    balancer.signal(Signal::TERM);
    manager.hears_from(balancer.pid(), &["STOPPING=1"]);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    let accounts = balancer.log_lines_with("msg=\"stopped\"");
    assert_eq!(accounts.len(), 3, "each has drained: {accounts:?}");
}

#[test]
fn its_watchdog_hears_of_a_process_that_is_alive_and_not_of_one_that_stands_still() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    let backend = Backend::named("one");
    let run = Run::with(&config(&[&backend], json!({}))).env("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut balancer = run.env("WATCHDOG_USEC", "2000000").start();
    manager.hears(&["READY=1"]);
    manager.hears(&["WATCHDOG=1"]);
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("msg=\"stopped\"");
    let heir = balancer.process().successors()[0];
    let forget = || while manager.hears_within(Duration::ZERO).is_some() {};
    forget();
    assert_eq!(manager.hears_within(patience()).as_deref(), Some("WATCHDOG=1"), "of the new process");
    for stopped in [heir, Pid::from_raw(balancer.pid() as i32).unwrap()] {
        kill_process(stopped, Signal::STOP).unwrap();
        eventually("it stands still", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", stopped.as_raw_nonzero()));
            status.unwrap().contains("State:\tT")
        });
        forget();
        // As long as a service manager would wait.
        assert_eq!(manager.hears_within(Duration::from_secs(2)), None);
        kill_process(stopped, Signal::CONT).unwrap();
        assert_eq!(manager.hears_within(patience()).as_deref(), Some("WATCHDOG=1"));
    }
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_exit().code(), Some(0));
}

#[test]
fn the_end_of_the_process_that_serves_is_the_end_of_the_service() {
    let backend = Backend::named("one");
    let mut balancer = Balancer::start(config(&[&backend], json!({})));
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("msg=\"stopped\"");
    kill_process(balancer.process().successors()[0], Signal::KILL).unwrap();
    assert_eq!(balancer.wait_exit().code(), Some(128 + 9));
    balancer.wait_for_log("the process that served has failed");
}

#[test]
fn who_has_lost_its_parent_drains() {
    let backend = Backend::named("one");
    let mut balancer = Balancer::start(config(&[&backend], json!({})));
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("msg=\"stopped\"");
    balancer.signal(Signal::KILL);
    // The pipe ends with the last process.
    balancer.wait_exit();
    let drains = balancer.log_lines_with("msg=\"draining\"");
    assert!(drains[1].contains("signal=\"the end of the parent process\""), "{drains:?}");
    assert_eq!(balancer.log_lines_with("msg=\"stopped\"").len(), 2);
}

/// A balancer on a socket that is kept while it is not there.
fn on_socket(listener: &TcpListener, configured: &Value) -> Balancer {
    Run::with(configured).on_socket(listener).start()
}

fn ask_anew(address: SocketAddr, stop: &Stop, answered: &AtomicU64) {
    while !stop.is_set() {
        let mut client = Client::connect(address);
        client.ask("GET", "/", &[], b"");
        assert_eq!(client.read_response().status, 200);
        answered.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_restart_on_its_socket_refuses_nobody() {
    let backend = Backend::named("one");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let configured = config(&[&backend], json!({ "listen": address.to_string() }));
    let (stop, answered) = (Stop::default(), AtomicU64::new(0));
    let mut balancer = on_socket(&listener, &configured);
    thread::scope(|scope| {
        let stopping = stop.at_the_end();
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(|| ask_anew(address, &stop, &answered))).collect();
        let go_on = || {
            let before = answered.load(Relaxed);
            eventually("answers go on", || answered.load(Relaxed) > before + 20);
        };
        for _ in 0..3 {
            go_on();
            balancer.signal(Signal::TERM);
            assert_eq!(balancer.wait_exit().code(), Some(0));
            let last = balancer.log_lines().pop().unwrap();
            assert!(last.contains("cut=0"), "{last}");
            balancer = on_socket(&listener, &configured);
        }
        go_on();
        drop(stopping);
        // A panic in one of them is a client that was refused.
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });
}

#[test]
fn a_successor_knows_that_its_socket_stays() {
    let backend = Backend::named("one");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let configured = config(&[&backend], json!({ "listen": address.to_string() }));
    let mut balancer = on_socket(&listener, &configured);
    balancer.signal(Signal::USR2);
    let line = balancer.wait_for_log("another process has taken over");
    let pid: i32 = fields(&line).into_iter().find(|(name, _)| name == "pid").unwrap().1.parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    // Both processes write to the same pipe, which ends with the last of them.
    balancer.wait_exit();
    let mut client = Client::connect(address);
    client.ask("GET", "/", &[], b"");
    let _next = on_socket(&listener, &configured);
    assert_eq!(client.read_response().text(), "one");
}

#[test]
fn a_socket_for_another_address_is_told_of() {
    let backend = Backend::named("one");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let configured = config(&[&backend], json!({ "listen": free.to_string() }));
    let balancer = on_socket(&listener, &configured);
    let line = balancer.wait_for_log("no inherited socket is for this address");
    assert!(line.contains(&format!("inherited={}", listener.local_addr().unwrap())), "{line}");
}
