//! `loadbalancer demo` and `backend_server`: what a newcomer tries first.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::support::{Backend, Behaviour, Client, Finished, Process, Signal, demo, eventually, skip};

/// The first address that a line with this text names.
fn address_in(process: &Process, text: &str) -> SocketAddr {
    eventually(&format!("a line with {text}"), || {
        let lines = process.stdout();
        let line = lines.iter().find(|line| line.contains(text))?;
        let (_, after) = line.split_once("http://")?;
        after.split(|c: char| c == '/' || c.is_whitespace()).next()?.parse().ok()
    })
}

fn ask(address: SocketAddr, path: &str) -> Value {
    Client::connect(address).get(path).json()
}

#[test]
fn the_demo_says_what_to_try_and_rotates() {
    let demo = demo();
    let balancer = address_in(&demo, "curl ");
    let names: Vec<_> = (0..6).map(|_| ask(balancer, "/hello")["server"].clone()).collect();
    assert_eq!(names[..3], names[3..], "{names:?}");
    for number in 1..=3 {
        let name = format!("backend-{number}");
        assert!(names.contains(&Value::from(name.as_str())), "{names:?}");
        let page = ask(address_in(&demo, &name), "/direct");
        assert_eq!(page["server"], name);
    }
}

#[test]
fn ctrl_c_ends_the_demo() {
    let mut demo = demo();
    address_in(&demo, "curl ");
    demo.signal(Signal::INT);
    assert_eq!(demo.wait_exit().code(), Some(0));
}

#[test]
fn two_demos_get_along() {
    let demos = [demo(), demo()];
    for demo in &demos {
        let page = ask(address_in(demo, "curl "), "/hello");
        assert!(page["server"].as_str().unwrap().starts_with("backend-"));
    }
}

fn backend_server(arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend_server"));
    command.args(arguments);
    Process::spawn(command)
}

fn failed(arguments: &[&str]) -> Finished {
    backend_server(arguments).finish()
}

#[test]
fn a_backend_server_says_where_it_listens_and_what_it_was_asked() {
    let mut server = backend_server(&["--port", "0", "--name", "backend-7"]);
    let address = address_in(&server, "backend-7 listening on http://127.0.0.1:");
    let page = ask(address, "/a?b");
    assert_eq!(page["server"], "backend-7");
    assert_eq!((&page["method"], &page["path"]), (&"GET".into(), &"/a?b".into()));
    assert_eq!(page["headers"]["host"], "example.com");
    assert_eq!(page["body_bytes"], 0);
    assert_eq!(Client::connect(address).get("/health").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn a_backend_server_listens_where_it_says_and_takes_go_s_flags() {
    let server = backend_server(&["-port", "0", "-name=go", "-latency", "1ms", "-fail=false"]);
    let address = address_in(&server, "go listening on ");
    assert!(server.stdout().concat().contains("and all other addresses of this machine"));
    assert_eq!(ask(address, "/")["server"], "go");
    let six: SocketAddr = format!("[::1]:{}", address.port()).parse().unwrap();
    match std::net::TcpListener::bind("[::1]:0") {
        Ok(_) => assert_eq!(ask(six, "/")["server"], "go"),
        Err(_) => skip("this machine has no ::1"),
    }
    let failing = backend_server(&["-port=0", "-name", "x", "-fail"]);
    let mut client = Client::connect(address_in(&failing, "x listening on "));
    client.ask("GET", "/", &[], b"");
    assert!(client.read_to_close().is_empty());
}

#[test]
fn the_demo_tells_of_its_dashboard() {
    let demo = demo();
    let balancer = address_in(&demo, "curl ");
    let page = format!("http://{balancer}/lb-dashboard");
    eventually("it is named", || demo.stdout().concat().contains(&page));
    assert_eq!(Client::connect(balancer).get("/lb-dashboard").status, 200);
}

#[test]
fn a_failing_backend_server_passes_its_probes_alone() {
    let mut server = backend_server(&["--port", "0", "--name", "x", "--fail"]);
    let address = address_in(&server, "x listening on ");
    let mut client = Client::connect(address);
    client.ask("GET", "/", &[], b"");
    assert!(client.read_to_close().is_empty());
    assert_eq!(Client::connect(address).get("/health").status, 200);
    server.signal(Signal::INT);
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn a_slow_backend_server_passes_its_probes_at_once_and_stops_at_once() {
    let mut server = backend_server(&["--port", "0", "--name", "x", "--latency", "1h"]);
    let address = address_in(&server, "x listening on ");
    let mut waiting = Client::connect(address);
    waiting.ask("GET", "/", &[], b"");
    assert_eq!(Client::connect(address).get("/health").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(waiting.read_to_close().is_empty());
}

#[test]
fn a_backend_server_names_what_is_wrong() {
    for (arguments, word) in [
        (&["--port", "x"][..], "--port"),
        (&["--latency", "2 parsecs"], "--latency"),
        (&["--speed"], "--speed"),
        (&["extra"], "extra"),
    ] {
        let run = failed(arguments);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(word), "{run:?}");
    }
}

#[test]
fn a_backend_server_names_a_port_that_is_taken() {
    let reserved = Backend::that(Behaviour::Refuses);
    let taken = reserved.address().port().to_string();
    let holder = backend_server(&["--port", &taken, "--name", "holder"]);
    address_in(&holder, "holder listening on ");
    let run = failed(&["--port", &taken, "--name", "x"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(&taken), "{run:?}");
}

#[test]
fn a_backend_server_has_help_and_a_version() {
    for flag in ["--help", "--version"] {
        let run = failed(&[flag]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.contains("backend_server") || run.stdout.contains("usage"), "{run:?}");
    }
}
