//! A connection goes from the front to a worker and back with each request: nobody is taken for somebody else,
//! and nothing that a client does or leaves undone keeps a worker that others need.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::{
    Answer, Backend, Balancer, Behaviour, Client, Run, Signal, balancer_by_hand, behind_front, config,
    eventually, let_pass, skip,
};

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";

/// A connection from this port of the client's.
fn from_port(port: u16, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    eventually("the port can be used again", || socket.connect(&to.into()).is_ok());
    socket.into()
}

fn free_port() -> u16 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.local_addr().unwrap().as_socket().unwrap().port()
}

fn echo() -> Backend {
    Backend::slow(Duration::ZERO)
}

#[test]
fn a_port_that_is_used_again_at_once_is_another_client() {
    if !behind_front() {
        return skip("tiny_http knows a connection by its peer alone");
    }
    let backend = echo();
    let balancer = Balancer::start(config(&[&backend], json!({ "workers": 4 })));
    let port = free_port();
    for round in 0..300 {
        let mut client = Client::from(from_port(port, balancer.address()));
        let path = format!("/{round}");
        match round % 4 {
            // It ends in the middle of an answer, of a head, or of a body, and nobody takes leave.
            0 => client.ask("GET", &path, &[], b""),
            1 => client.send("GET /never HTTP/1.1\r\nHo"),
            2 => client.send("POST /never HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello"),
            _ => {
                client.ask("GET", &path, &[], b"");
                client.ask("GET", &path, &[("Connection", "close")], b"");
                for _ in 0..2 {
                    let answer = client.read_response();
                    assert_eq!((answer.status, &answer.json()["path"]), (200, &json!(path)), "{round}");
                }
                assert!(client.read_to_close().is_empty());
                continue;
            }
        }
        rustix::net::connect_unspec(client.stream()).unwrap();
    }
}

#[test]
fn one_port_of_a_client_may_be_connected_to_two_addresses_of_ours() {
    if !behind_front() {
        return skip("tiny_http knows a connection by its peer alone");
    }
    let backend = echo();
    let balancer = Balancer::start(config(&[&backend], json!({ "listen": "0.0.0.0:0", "workers": 4 })));
    let port = free_port();
    let to = |last| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), balancer.address().port()));
    for round in 0..50 {
        let mut clients = [1, 2].map(|last| (last, Client::from(from_port(port, to(last)))));
        for (last, client) in &mut clients {
            client.ask("GET", &format!("/{last}/{round}"), &[], b"");
        }
        for (last, client) in clients.iter_mut().rev() {
            let answer = client.read_response();
            assert_eq!((answer.status, &answer.json()["path"]), (200, &json!(format!("/{last}/{round}"))));
        }
        // One of them goes, and it is not the other.
        let [(_, mut stays), (_, goes)] = clients;
        rustix::net::connect_unspec(goes.stream()).unwrap();
        drop(goes);
        assert_eq!(stays.get("/stays").json()["path"], "/stays");
        rustix::net::connect_unspec(stays.stream()).unwrap();
    }
}

/// Sends this again and again without reading, until nothing more goes.
fn stuff(balancer: &Balancer, request: &str) -> TcpStream {
    let stream = TcpStream::connect(balancer.address()).unwrap();
    socket2::SockRef::from(&stream).set_recv_buffer_size(4 << 10).unwrap();
    stream.set_nonblocking(true).unwrap();
    let piece = request.repeat(200);
    for _ in 0..100 {
        if std::io::Write::write(&mut &stream, piece.as_bytes()).is_err() {
            break;
        }
    }
    stream
}

#[test]
fn answers_that_nobody_reads_hold_no_worker() {
    if !behind_front() {
        return skip("tiny_http's answers are written by whoever has them");
    }
    let not_modified =
        Answer { status: 304, headers: vec![("ETag", "\"x\"")], body: Vec::new(), ..Answer::ok("") };
    let backend = Backend::that(Behaviour::Answers(not_modified));
    let more = json!({
        "workers": 2,
        "access_log": false,
        "rate_limit": { "enabled": true, "requests_per_second": 1, "burst": 1 },
        "pools": { "down": { "backends": [{ "url": "http://127.0.0.1:1" }] } },
        "routes": [{ "path": "/down", "pool": "down" }],
    });
    let balancer = Balancer::start(config(&[&backend], more)).once_probed();
    let ask = |method: &str, path: &str, from: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {from}\r\n\r\n")
    };
    let mut held = Vec::new();
    for (number, (method, path)) in
        [("HEAD", "/"), ("GET", "/"), ("GET", "/down"), ("GET", "/lb-metrics"), ("GET", "/lb-dashboard")]
            .into_iter()
            .enumerate()
    {
        held.extend((0..4).map(|_| stuff(&balancer, &ask(method, path, &format!("192.0.2.{number}")))));
        for stranger in 0..3 {
            let from = format!("198.51.100.{}", 10 * number + stranger);
            let mut client = balancer.connect();
            client.send(ask("GET", "/", &from));
            assert_eq!(client.read_response().status, 304, "beside {method} {path}");
            assert_eq!(balancer.get("/lb-health").status, 200, "beside {method} {path}");
        }
    }
}

#[test]
fn redirects_that_nobody_reads_hold_no_worker() {
    if !behind_front() {
        return skip("tiny_http's answers are written by whoever has them");
    }
    let backend = Backend::named("one");
    let folder = tempfile::tempdir().unwrap();
    let authority = crate::support::Authority::new(folder.path());
    let mut tls = authority.listener();
    tls["redirect_http"] = json!(true);
    let balancer = Balancer::start(config(&[&backend], json!({ "workers": 2, "tls": tls })));
    let held: Vec<_> = (0..8).map(|_| stuff(&balancer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    for _ in 0..5 {
        assert_eq!(balancer.get("/").status, 308);
        assert_eq!(balancer.get("/lb-health").status, 200);
    }
    drop(held);
}

#[test]
fn uploads_whose_head_and_body_come_in_one_write_are_taken() {
    let backend = echo();
    let balancer = Balancer::start(config(&[&backend], json!({ "workers": 4 })));
    let body = vec![b'x'; 100_000];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..75 {
                    let answer = balancer.ask("POST", "/", &[("Connection", "close")], &body);
                    assert_eq!((answer.status, &answer.json()["body_bytes"]), (200, &json!(100_000)));
                }
            });
        }
    });
}

#[test]
fn a_thousand_requests_in_one_write_are_answered_in_order() {
    if !behind_front() {
        return skip("tiny_http reads ahead by itself");
    }
    let backend = echo();
    // What is over the rate is answered by ourselves, the rest by the backend.
    let more = json!({
        "workers": 2,
        "access_log": false,
        "rate_limit": { "enabled": true, "requests_per_second": 1, "burst": 500 },
    });
    let balancer = Balancer::start(config(&[&backend], more));
    let client = balancer.connect();
    let all: String = (0..1000).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    let mut writing = client.stream();
    let writer = thread::spawn(move || std::io::Write::write_all(&mut writing, all.as_bytes()).unwrap());
    let mut client = client;
    let mut refused = 0;
    for number in 0..1000 {
        let answer = client.read_response();
        match answer.status {
            200 => assert_eq!(answer.json()["path"], format!("/{number}")),
            429 => refused += 1,
            other => panic!("{other} for {number}"),
        }
    }
    writer.join().unwrap();
    assert!((400..=500).contains(&refused), "{refused} of 1000 refused");
}

/// Requests that find the queue full are answered by the thread that reads them. They must not fill its stack,
/// nor keep it from others.
#[test]
fn whoever_pipelines_into_a_full_queue_keeps_nobody_from_their_turn() {
    if !behind_front() {
        return skip("tiny_http reads ahead by itself");
    }
    let more = json!({
        "workers": 1,
        "access_log": false,
        "limits": { "max_queue": 0 },
        "timeouts": { "queue": "1m", "request": "1m" },
    });
    let (backend, balancer) = balancer_by_hand(more);
    let mut holding = balancer.asking("/holding");
    let mut held = backend.next();
    let stop = crate::support::Stop::default();
    thread::scope(|scope| {
        let _at_the_end = stop.at_the_end();
        let greedy = balancer.connect();
        let (mut writing, mut reading) = (greedy.stream(), greedy.stream());
        let text = "GET /more HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
        scope.spawn(move || while std::io::Write::write_all(&mut writing, text.as_bytes()).is_ok() {});
        let (seen, answers) = crossbeam_channel::bounded(1);
        let closing = greedy.stream();
        let stop = &stop;
        scope.spawn(move || {
            let mut buf = vec![0; 1 << 16];
            let mut bytes = 0;
            while !stop.is_set() {
                match std::io::Read::read(&mut reading, &mut buf) {
                    Ok(amount @ 1..) => bytes += amount,
                    _ => break,
                }
                if bytes > 1 << 20 {
                    let _ = seen.try_send(());
                }
            }
            let _ = closing.shutdown(std::net::Shutdown::Both);
        });
        answers.recv_timeout(crate::support::patience()).expect("some thousand are answered");
        for _ in 0..10 {
            let answer = balancer.get("/");
            assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("queue_full")));
            assert_eq!(balancer.get("/lb-health").status, 200);
        }
    });
    held.send(PLAIN);
    assert_eq!(holding.read_response().text(), "plain");
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    let all = [("GET", "", true), ("GET", "", false), ("POST", "hello", true), ("POST", "hello", false)];
    let waiting = all.map(|(method, body, at_once)| {
        let mut client = balancer.connect();
        client.ask(method, "/", &[], body.as_bytes());
        if at_once {
            client.end_sending();
        }
        let mut exchange = backend.next();
        client.end_sending();
        assert_eq!(exchange.try_read_body().unwrap(), body.as_bytes());
        (client, exchange, format!("{method}, at once: {at_once}"))
    });
    // A backend that takes its time.
    let_pass(Duration::from_millis(1500));
    for (mut client, mut exchange, what) in waiting {
        assert!(!exchange.is_ended_within(Duration::from_millis(20)), "{what}");
        exchange.send(PLAIN);
        assert_eq!(client.read_response().text(), "plain", "{what}");
        assert!(client.is_closed_within(crate::support::patience()));
    }
}

#[test]
fn a_client_that_resets_frees_its_worker_at_once() {
    if !behind_front() {
        return skip("tiny_http does not tell");
    }
    // Whoever only ends its side is given three seconds, however patient we are.
    const AT_ONCE: Duration = Duration::from_millis(2900);
    let (backend, balancer) = balancer_by_hand(json!({ "workers": 1, "timeouts": { "request": "1m" } }));
    for _ in 0..5 {
        let client = balancer.asking("/gone");
        let mut exchange = backend.next();
        rustix::net::connect_unspec(client.stream()).unwrap();
        assert!(exchange.is_ended_within(AT_ONCE));
        let mut client = balancer.asking("/");
        let mut exchange = backend.next();
        exchange.send(PLAIN);
        exchange.keep_alive();
        assert_eq!(client.read_response().text(), "plain");
    }
}

#[test]
fn reloads_and_a_renewal_find_connections_lent() {
    let (backend, mut balancer) = balancer_by_hand(json!({ "timeouts": { "request": "1m", "drain": "1m" } }));
    let mut clients: Vec<_> = (0..6).map(|number| balancer.asking(&format!("/{number}"))).collect();
    let mut exchanges: Vec<_> = (0..6).map(|_| backend.next()).collect();
    for _ in 0..2 {
        balancer.signal(Signal::HUP);
    }
    balancer.wait_for_log("configuration reloaded");
    balancer.signal(Signal::USR2);
    eventually("another process has taken over", || balancer.process().successors().len() == 1);
    let mut newcomer = balancer.asking("/newcomer");
    for exchange in &mut exchanges {
        let target = exchange.target().to_owned();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.read_response();
        assert_eq!((answer.text(), answer.header("connection")), (&*format!("/{number}"), Some("close")));
    }
    backend.next().send(PLAIN);
    assert_eq!(newcomer.read_response().text(), "plain");
    balancer.wait_for_log("accepted=6 answered=6 cut=0");
}

#[test]
fn sixty_four_descriptors_are_enough() {
    if !behind_front() {
        return skip("tiny_http takes more descriptors a client, and accepts whoever comes");
    }
    let backend = Backend::named("one");
    let balancer =
        Run::with(&config(&[&backend], json!({ "workers": 2, "limits": { "max_idle_per_backend": 2 } })))
            .open_files(64)
            .start();
    for _ in 0..3 {
        let burst: Vec<_> = (0..80).map(|_| TcpStream::connect(balancer.address())).collect();
        drop(burst);
        eventually("a new client is served", || {
            let mut client = balancer.connect();
            client.send_if_open("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            client.try_read_response_to("GET").is_ok_and(|answer| answer.status == 200)
        });
    }
}
