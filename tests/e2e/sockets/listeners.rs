//! Several listeners, Unix sockets among them: `listen` as a list.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::{Signal as Sent, kill_process};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Authority, Backend, Balancer, Client, Run, Signal, TlsClient, config, eventually, patience,
};

struct Place {
    _folder: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        Place { path: folder.path().join("lb.sock"), _folder: folder }
    }

    /// On TCP and here, with or without the front on the former.
    fn configured(&self, backend: &Backend, front: bool) -> Value {
        let unix = format!("unix:{}?mode=0600", self.path.display());
        config(&[backend], json!({ "listen": ["127.0.0.1:0", unix, "127.0.0.2:0"], "front": front }))
    }
}

/// A GET on a connection of its own; the whole answer.
fn get(path: &Path, fields: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    write!(stream, "GET /unix HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn assert_serves(path: &Path) {
    let answer = get(path, "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
}

#[test]
fn every_listener_of_a_list_serves_and_the_file_goes_at_the_end() {
    for front in [true, false] {
        let (place, backend) = (Place::new(), Backend::named("one"));
        let mut balancer = Balancer::start(place.configured(&backend, front));
        let unix = format!("as=plain at=unix:{}", place.path.display());
        balancer.wait_for_log(&unix);
        assert_eq!(std::fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(balancer.get("/plain").status, 200);
        let other = balancer.wait_for_log("at=127.0.0.2:");
        let other = other.split("at=").nth(1).unwrap().trim().parse().unwrap();
        assert_eq!(Client::connect(other).get("/other").status, 200);
        assert_serves(&place.path);
        // Its peers are this machine's: what they forward for is believed.
        get(&place.path, "X-Forwarded-For: 192.0.2.7\r\n");
        let line = eventually("the access line", || {
            balancer.access_lines().into_iter().find(|line| line.contains("192.0.2.7"))
        });
        assert!(line.contains("client=192.0.2.7"), "{line}");
        let held = UnixStream::connect(&place.path).unwrap();
        if front {
            eventually("it is counted", || balancer.metrics()["client_connections"].as_u64() >= Some(2));
        }
        drop(held);
        balancer.signal(Signal::TERM);
        assert_eq!(balancer.wait_exit().code(), Some(0));
        assert!(!place.path.exists());
    }
}

#[test]
fn peers_of_a_unix_socket_are_not_one_address_to_the_limit_of_connections() {
    let (place, backend) = (Place::new(), Backend::named("one"));
    let mut configured = place.configured(&backend, true);
    configured["limits"] = json!({ "max_connections_per_ip": 1 });
    let _balancer = Balancer::start(configured);
    let _held = [(); 3].map(|()| UnixStream::connect(&place.path).unwrap());
    assert_serves(&place.path);
}

#[test]
fn a_renewal_hands_all_of_them_over_and_leaves_the_file() {
    let (place, backend) = (Place::new(), Backend::named("one"));
    let mut balancer = Balancer::start(place.configured(&backend, true));
    let before = std::fs::metadata(&place.path).unwrap();
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("msg=\"stopped\"");
    assert_serves(&place.path);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(&place.path).unwrap().ino(), before.ino());
    let successor = balancer.process().successors().pop().unwrap();
    kill_process(successor, Sent::TERM).unwrap();
    eventually("it has ended, and its file is gone", || !place.path.exists());
    balancer.wait_exit();
}

#[test]
fn a_stale_file_is_replaced_and_one_in_use_is_an_error() {
    let (place, backend) = (Place::new(), Backend::named("one"));
    drop(std::os::unix::net::UnixListener::bind(&place.path).unwrap());
    let _balancer = Balancer::start(place.configured(&backend, true));
    assert_serves(&place.path);
    let second = Run::with(&place.configured(&backend, true)).output();
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.stderr.contains("cannot listen on unix:") && second.stderr.contains("somebody listens there")
    );
    assert_serves(&place.path);
}

#[test]
fn a_change_of_the_list_needs_a_restart() {
    let (place, backend) = (Place::new(), Backend::named("one"));
    let mut configured = place.configured(&backend, true);
    let balancer = Balancer::start(configured.clone());
    configured["listen"] = json!("127.0.0.1:0");
    balancer.write_config(&configured.to_string());
    assert!(balancer.wait_for_log("needs a restart").contains("listen"));
    assert_serves(&place.path);
}

#[test]
fn a_unix_socket_of_a_service_manager_is_used_and_left() {
    let (place, backend) = (Place::new(), Backend::named("one"));
    let socket = std::os::unix::net::UnixListener::bind(&place.path).unwrap();
    let given = TcpListener::from(std::os::fd::OwnedFd::from(socket));
    let run = Run::with(&place.configured(&backend, true)).on_socket(&given);
    let mut balancer = run.start();
    assert_serves(&place.path);
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert!(place.path.exists());
}

/// TLS at two addresses and a Unix socket.
fn by_tls(place: &Place, authority: &Authority, backend: &Backend, more: Value) -> Value {
    let mut tls = authority.listener();
    tls["listen"] = json!(["127.0.0.1:0", "127.0.0.2:0", format!("unix:{}", place.path.display())]);
    tls["redirect_http"] = json!(true);
    let mut configured = config(&[backend], more);
    configured["tls"] = tls;
    configured
}

/// Where TLS is spoken by TCP.
fn tls_addresses(balancer: &Balancer) -> [SocketAddr; 2] {
    ["127.0.0.1:", "127.0.0.2:"].map(|start| {
        let line = balancer.wait_for_log(&format!("as=tls at={start}"));
        line.split("at=").nth(1).unwrap().trim().parse().unwrap()
    })
}

/// One answer by TLS over a Unix socket; the certificate that was shown.
fn over_unix(place: &Place, authority: &Authority) -> CertificateDer<'static> {
    let stream = UnixStream::connect(&place.path).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    let versions = rustls::ALL_VERSIONS;
    let mut client = TlsClient::over(stream, "localhost", authority, versions).unwrap();
    assert!(client.get("/").ends_with("one"));
    client.session().peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn every_listener_of_tls_shows_the_same_certificates_and_is_renewed_and_handed_over() {
    let (place, backend) = (Place::new(), Backend::named("one"));
    let authority = Authority::new(place.path.parent().unwrap());
    let mut balancer = Balancer::start(by_tls(&place, &authority, &backend, json!({})));
    let addresses = tls_addresses(&balancer);
    let certificates = || {
        let all = addresses.map(|address| {
            let mut client = TlsClient::connect(address, "localhost", &authority).unwrap();
            assert!(client.get("/").ends_with("one"));
            client.session().peer_certificates().unwrap()[0].clone().into_owned()
        });
        assert_eq!(all[0], all[1], "both show one certificate");
        (all[0].clone(), over_unix(&place, &authority))
    };
    let (by_tcp, by_unix) = certificates();
    assert_eq!(by_tcp, by_unix);
    authority.issue("localhost", &["localhost"]);
    balancer.signal(Signal::HUP);
    eventually("the new certificate is shown everywhere", || {
        let shown = addresses.map(|address| {
            let client = TlsClient::connect(address, "localhost", &authority).unwrap();
            client.session().peer_certificates().unwrap()[0].clone().into_owned()
        });
        shown.iter().all(|shown| *shown != by_tcp) && over_unix(&place, &authority) != by_tcp
    });
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("msg=\"stopped\"");
    assert_ne!(certificates().0, by_tcp, "the successor has all of them");
    let successor = balancer.process().successors().pop().unwrap();
    kill_process(successor, Sent::TERM).unwrap();
    balancer.wait_exit();
}

#[test]
fn plain_requests_are_sent_to_the_first_port_of_tls() {
    let (place, backend) = (Place::new(), Backend::named("one"));
    let authority = Authority::new(place.path.parent().unwrap());
    let balancer = Balancer::start(by_tls(&place, &authority, &backend, json!({})));
    let mut client = balancer.connect();
    client.send(b"GET /a HTTP/1.1\r\nHost: one.example:80\r\n\r\n");
    let answer = client.read_response();
    // Which is any free one here.
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://one.example:0/a")));
}
