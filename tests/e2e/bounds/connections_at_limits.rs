//! Where all places are taken: who is silent gives way, who reads slowly costs little, and who makes handshakes
//! keeps nobody else waiting.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answer, Authority, Backend, Balancer, Behaviour, Client, Stop, TlsClient, behind_front, config,
    eventually, let_pass, patience, skip,
};

/// Who has been silent for less is not asked to give way.
const SILENCE: Duration = Duration::from_millis(700);

fn start(more: Value) -> (Backend, Balancer) {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], more));
    (backend, balancer)
}

fn is_served(balancer: &Balancer) -> bool {
    let mut client = balancer.connect();
    client.send_if_open("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.try_read_response_to("GET").is_ok_and(|answer| answer.status == 200)
}

#[test]
fn the_silent_give_way_to_new_clients() {
    if !behind_front() {
        return skip("tiny_http accepts for ever and knows no idle time");
    }
    let (_backend, balancer) = start(json!({ "limits": { "max_connections": 20 } }));
    for begun in ["", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nX-Begun"] {
        let silent: Vec<_> = (0..40)
            .map(|_| {
                let mut client = balancer.connect();
                client.send_if_open(begun);
                client
            })
            .collect();
        let_pass(SILENCE);
        for _ in 0..5 {
            eventually("a new client is served", || is_served(&balancer));
        }
        drop(silent);
    }
}

#[test]
fn the_longest_idle_give_way_and_the_busy_stay() {
    if !behind_front() {
        return skip("tiny_http accepts for ever and knows no idle time");
    }
    let (_backend, balancer) = start(json!({ "limits": { "max_connections": 10 } }));
    let mut kept: Vec<Client> = (0..10).map(|_| balancer.connect()).collect();
    for client in &mut kept {
        assert_eq!(client.get("/").status, 200);
    }
    let_pass(SILENCE);
    // Half of them say something, the last one has a request under way.
    for client in kept.iter_mut().skip(5) {
        assert_eq!(client.get("/").status, 200);
    }
    let newcomers: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = balancer.connect();
            assert_eq!(client.get("/").status, 200);
            client
        })
        .collect();
    let mut closed = vec![false; kept.len()];
    eventually("somebody gives way for each newcomer", || {
        for (closed, client) in closed.iter_mut().zip(&mut kept) {
            *closed = *closed || client.is_closed_within(Duration::from_millis(1));
        }
        closed.iter().filter(|closed| **closed).count() >= newcomers.len()
    });
    assert_eq!(closed.iter().filter(|closed| **closed).count(), newcomers.len());
    assert!(!closed[5..].contains(&true), "{closed:?}");
}

#[test]
fn the_limit_of_an_address_counts_the_client_that_the_proxy_names() {
    let (_backend, balancer) =
        start(json!({ "proxy_protocol": true, "limits": { "max_connections_per_ip": 3 } }));
    let from = |client: &str| {
        let mut connection = balancer.connect();
        connection.send_if_open(format!("PROXY TCP4 {client} 192.0.2.100 1234 80\r\n"));
        connection.send_if_open("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let is_served = connection.try_read_response_to("GET").is_ok();
        (is_served, connection)
    };
    let greedy: Vec<_> = (0..6).map(|_| from("192.0.2.1")).collect();
    assert_eq!(greedy.iter().filter(|(is_served, _)| *is_served).count(), 3);
    let (is_served, _other) = from("192.0.2.2");
    assert!(is_served, "another client has a limit of its own");
    drop(greedy);
    eventually("there is room again", || from("192.0.2.1").0);
}

/// More than sockets hold.
const LARGE_BYTES: usize = 8 << 20;

#[test]
fn a_slow_reader_costs_little_memory() {
    if !behind_front() {
        return skip("tiny_http keeps a thread for each");
    }
    const READERS: u64 = 60;
    let backend = Backend::that(Behaviour::Answers(Answer::ok(vec![b'x'; LARGE_BYTES])));
    // A worker for each, so that none waits for the second after which another one leaves.
    let mut balancer = Balancer::start(config(&[&backend], json!({ "workers": READERS })));
    drop(balancer.get("/"));
    let before = balancer.process().memory("VmRSS");
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut client = balancer.asking("/");
            client.read_until("\r\n\r\n");
            client
        })
        .collect();
    balancer.metrics_when("streams", READERS);
    let each = balancer.process().memory("VmRSS").saturating_sub(before) / READERS;
    assert!(each < 160 << 10, "{each} bytes for each slow reader, its thread among them");
    assert_eq!(balancer.get("/lb-health").status, 200);
    drop(readers);
}

#[test]
fn whoever_pipelines_and_does_not_read_is_bounded() {
    const CLIENTS: usize = 10;
    if !behind_front() {
        return skip("tiny_http reads ahead by itself");
    }
    let backend = Backend::that(Behaviour::Answers(Answer::ok(vec![b'x'; 16 << 10])));
    let mut balancer = Balancer::start(config(&[&backend], json!({ "workers": 4, "access_log": false })));
    drop(balancer.get("/"));
    let before = balancer.process().memory("VmRSS");
    let pipelining: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let stream = TcpStream::connect(balancer.address()).unwrap();
            socket2::SockRef::from(&stream).set_recv_buffer_size(4 << 10).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let text = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let stuff = || -> usize {
        pipelining.iter().map(|stream| (&mut &*stream).write(text.as_bytes()).unwrap_or(0)).sum()
    };
    let sent: usize = (0..200).map(|_| stuff()).sum();
    assert!(sent > CLIENTS << 20, "{sent} bytes of requests");
    eventually("nothing moves any more", || {
        let asked = backend.asked().len();
        let_pass(Duration::from_millis(300));
        backend.asked().len() == asked
    });
    let growth = balancer.process().memory("VmRSS").saturating_sub(before);
    assert!(growth < CLIENTS as u64 * (256 << 10), "{growth} bytes for {CLIENTS} of them");
    assert!(is_served(&balancer));
    drop(pipelining);
}

/// The median time of a request on this connection.
fn median(client: &mut TlsClient) -> Duration {
    let mut times: Vec<Duration> = (0..60)
        .map(|_| {
            let begun = Instant::now();
            client.get("/");
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// The beginning of a handshake: what costs the server its signature.
fn hello(address: std::net::SocketAddr, authority: &Authority) {
    let Ok(mut stream) = TcpStream::connect(address) else { return };
    let _ = stream.set_read_timeout(Some(patience()));
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(authority.file()).unwrap();
    for certificate in rustls::pki_types::pem::PemObject::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(std::sync::Arc::new(client), name).unwrap();
    let _ = session.write_tls(&mut stream);
    // The answer is not read to its end, and nothing is made of it.
    let _ = stream.read(&mut [0; 16]);
}

#[test]
fn a_flood_of_handshakes_delays_no_established_connection_much() {
    let backend = Backend::named("one");
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let balancer =
        Balancer::start(config(&[&backend], json!({ "access_log": false, "tls": authority.listener() })));
    let address = balancer.address_as("tls");
    let mut client = TlsClient::connect(address, "localhost", &authority).unwrap();
    let quiet = median(&mut client);
    let stop = Stop::default();
    let begun = Instant::now();
    let flooded = thread::scope(|scope| {
        let _at_the_end = stop.at_the_end();
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.is_set() && begun.elapsed() < patience() {
                    hello(address, &authority);
                }
            });
        }
        median(&mut client)
    });
    // The machine is busier, too; but a queue of handshakes before each request would be a hundred times this.
    assert!(flooded < quiet * 20, "{quiet:?} became {flooded:?}");
}
