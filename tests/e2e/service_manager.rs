//! Under a service manager such as systemd: what it is told, and the socket that it has opened.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

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
fn it_is_told_who_has_taken_over() {
    let name = format!("loadbalancer-e2e-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager(UnixDatagram::bind_addr(&address).unwrap());
    let backend = Backend::named("one");
    let run = Run::with(&config(&[&backend], json!({})));
    let mut balancer = run.env("NOTIFY_SOCKET", &format!("@{name}")).start();
    manager.hears(&["READY=1"]);
    balancer.signal(Signal::USR2);
    let message = manager.hears(&["MAINPID="]);
    let pid: i32 = message.trim_start_matches("MAINPID=").parse().unwrap();
    let line = balancer.wait_for_log("another process has taken over");
    assert!(fields(&line).contains(&("pid".to_owned(), pid.to_string())), "{line}");
    balancer.wait_for_log("msg=\"stopped\"");
    // The end of the old process is not the end of the service.
    manager.hears_nothing_more();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    manager.hears(&["STOPPING=1"]);
    balancer.wait_exit();
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
