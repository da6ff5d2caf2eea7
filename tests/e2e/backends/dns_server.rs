//! Names whose addresses are backends, before a real name server: dnsmasq from Debian on loopback. What a name server
//! may say besides, a made-up one says in `addresses`.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{by_name, fleet};
use crate::support::{Balancer, Client, Process, Signal, eventually, skip};

const SERVICE: &str = "_http._tcp.app.test";

/// A running dnsmasq, whose hosts are a file.
struct Server {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// `None` where there is none here, which is said.
    fn start(addresses: &[&str], more: &[String]) -> Option<Server> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&search).chain([PathBuf::from("/usr/sbin")]);
        let Some(program) = places.map(|folder| folder.join("dnsmasq")).find(|it| it.is_file()) else {
            skip("no dnsmasq; tests/dns/install gets it");
            return None;
        };
        // Whoever is given the port for connections meanwhile keeps dnsmasq from it.
        (0..10)
            .find_map(|_| Server::try_start(&program, addresses, more))
            .or_else(|| panic!("no port for dnsmasq"))
    }

    fn try_start(program: &Path, addresses: &[&str], more: &[String]) -> Option<Server> {
        let folder = tempfile::tempdir().unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let hosts = folder.path().join("hosts");
        fs::write(&hosts, hosts_file(addresses)).unwrap();
        let mut command = Command::new(program);
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--bind-interfaces",
            ])
            .args(["--listen-address=127.0.0.1", "--local=/test/", "--local-ttl=0", "--log-facility=-"])
            .arg(format!("--port={port}"))
            .arg(format!("--addn-hosts={}", hosts.display()))
            .arg("--pid-file=")
            .arg(format!("--user={}", user()))
            .args(more);
        let mut process = Process::spawn(command);
        let has_read = |process: &Process| process.stderr().iter().any(|line| line.contains("hosts - "));
        eventually("dnsmasq has read its hosts, or ended", || has_read(&process) || !process.is_running());
        has_read(&process).then_some(Server { process, port, folder })
    }

    /// From now on.
    fn has(&self, addresses: &[&str]) {
        let read = || self.process.stderr().iter().filter(|line| line.contains("hosts - ")).count();
        let before = read();
        fs::write(self.folder.path().join("hosts"), hosts_file(addresses)).unwrap();
        self.process.signal(Signal::HUP);
        eventually("dnsmasq has read its hosts again", || read() > before);
    }
}

fn user() -> String {
    std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or_else(|| "root".to_owned())
}

fn hosts_file(addresses: &[&str]) -> String {
    addresses.iter().map(|address| format!("{address} app.test\n")).collect()
}

fn over(server: &Server, port: u16, more: Value) -> Value {
    by_name(&format!("127.0.0.1:{}", server.port), port, more)
}

#[test]
fn three_addresses_have_their_shares_through_death_departure_and_a_server_that_hangs_or_dies() {
    let mut fleet = fleet(2, 3);
    let Some(mut server) = Server::start(&["127.0.2.1", "127.0.2.2", "127.0.2.3"], &[]) else { return };
    let balancer = Balancer::start(over(&server, fleet[0].address().port(), json!({})));
    let even = BTreeMap::from([("1".into(), 3), ("2".into(), 3), ("3".into(), 3)]);
    assert_eq!(balancer.shares(9), even);
    // One dies, and is back.
    fleet[1].stop();
    balancer.wait_for_states(&["healthy", "unhealthy", "healthy"]);
    assert_eq!(balancer.shares(8), BTreeMap::from([("1".into(), 4), ("3".into(), 4)]));
    fleet[1].restart();
    balancer.wait_for_states(&["healthy"; 3]);
    // One leaves, and is back.
    server.has(&["127.0.2.1", "127.0.2.3"]);
    eventually("it has left", || balancer.total_backends() == 2);
    assert_eq!(balancer.shares(8), BTreeMap::from([("1".into(), 4), ("3".into(), 4)]));
    server.has(&["127.0.2.1", "127.0.2.2", "127.0.2.3"]);
    eventually("it is back and serves", || balancer.total_backends() == 3 && balancer.get("/").text() == "2");
    // The name has no address, the server hangs, the server is dead.
    server.has(&[]);
    balancer.wait_for_log("msg=\"name not resolved\"");
    assert_eq!(balancer.shares(9), even);
    server.process.signal(Signal::STOP);
    eventually("that is told", || {
        balancer.metrics()["names"][0]["last_error"].as_str().is_some_and(|why| why.contains("in time"))
    });
    assert_eq!(balancer.shares(9), even);
    server.process.signal(Signal::KILL);
    server.process.wait_exit();
    eventually("that is told, too", || {
        balancer.metrics()["names"][0]["last_error"].as_str().is_some_and(|why| why.contains("refused"))
    });
    assert_eq!(balancer.shares(9), even);
    assert_eq!(balancer.log_lines_with("msg=\"name not resolved\"").len(), 1);
}

#[test]
fn two_balancers_agree_on_a_thousand_clients_while_addresses_come_and_go() {
    let fleet = fleet(2, 4);
    let all = ["127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.4"];
    let Some(server) = Server::start(&all, &[]) else { return };
    let with = over(&server, fleet[0].address().port(), json!({ "algorithm": "consistent_hash" }));
    let balancers = [Balancer::start(with.clone()), Balancer::start(with)];
    let homes = |balancer: &Balancer| -> Vec<String> {
        let home = |number: usize| balancer.get_for(&format!("10.0.{}.{}", number / 250, number % 250), "/");
        (0..1000).map(|number| home(number).text().to_owned()).collect()
    };
    let before = homes(&balancers[0]);
    assert_eq!(homes(&balancers[1]), before);
    server.has(&all[..3]);
    balancers.iter().for_each(|balancer| eventually("one has left", || balancer.total_backends() == 3));
    let after = homes(&balancers[0]);
    assert_eq!(homes(&balancers[1]), after);
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || before == "4"));
    server.has(&all);
    for balancer in &balancers {
        eventually("all are back", || homes(balancer) == before);
    }
}

#[test]
fn no_request_of_ten_thousand_fails_while_addresses_change_every_second() {
    const REQUESTS: usize = 10_000;
    const CHANGE: Duration = Duration::from_secs(1);
    let fleet = fleet(2, 4);
    let all = ["127.0.2.1", "127.0.2.2", "127.0.2.3", "127.0.2.4"];
    let Some(server) = Server::start(&all, &[]) else { return };
    let balancer = Balancer::start(over(&server, fleet[0].address().port(), json!({})));
    let sent = AtomicUsize::new(0);
    let (began, mut changes) = (Instant::now(), 0);
    thread::scope(|scope| {
        let client = || {
            let mut client = Client::connect(balancer.address());
            while sent.fetch_add(1, SeqCst) < REQUESTS {
                assert_eq!(client.get("/").status, 200);
                // Some seconds in all, so that addresses change a few times.
                thread::park_timeout(Duration::from_millis(1));
            }
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        while clients.iter().any(|client| !client.is_finished()) {
            if began.elapsed() > CHANGE * changes {
                changes += 1;
                let first = changes as usize % 4;
                server.has(&[all[first], all[(first + 1) % 4]]);
            }
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    assert!(changes >= 2, "{changes} changes");
    let metrics = balancer.metrics();
    assert_eq!((&metrics["failed_requests"], &metrics["success_requests"]), (&json!(0), &json!(REQUESTS)));
}

#[test]
fn services_are_found_by_their_records() {
    let fleet = fleet(2, 2);
    let port = fleet[0].address().port();
    let record = |target: &str, priority: u16, weight: u16| {
        format!("--srv-host={SERVICE},{target},{port},{priority},{weight}")
    };
    let more = [
        record("one.test", 10, 3),
        record("two.test", 10, 1),
        "--host-record=one.test,127.0.2.1".to_owned(),
        "--host-record=two.test,127.0.2.2".to_owned(),
    ];
    let Some(server) = Server::start(&[], &more) else { return };
    let mut with = over(&server, 1, json!({}));
    with["backends"] = json!([{ "url": format!("http://{SERVICE}"), "addresses": "srv" }]);
    let balancer = Balancer::start(with);
    assert_eq!(balancer.shares(8), BTreeMap::from([("1".into(), 6), ("2".into(), 2)]));
    assert_eq!(balancer.metrics()["backends"][0]["name"], format!("http://{SERVICE}"));
}
