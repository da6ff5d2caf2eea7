//! A test for each bug that users could have met, named after what went wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use loadbalancer::demo::echo::EchoOptions;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::{Backend, Balancer, Behaviour, Client, Signal, config, eventually};

/// tiny_http queues more connections than there are threads to wake, and those left over waited for
/// another connection to end: a minute, with kept-alive ones.
#[test]
fn a_burst_of_connections_that_stay_open_left_some_unserved() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for _ in 0..3 {
        // All of them are there when it wakes up.
        balancer.signal(Signal::STOP);
        let mut burst: Vec<_> = (0..60).map(|_| balancer.connect()).collect();
        burst.iter_mut().for_each(|client| client.ask("GET", "/", &[], b""));
        balancer.signal(Signal::CONT);
        // Each waits for as long as the tests are patient, which is less than an idle connection lives.
        burst.iter_mut().for_each(|client| assert_eq!(client.read_response().status, 200));
    }
}

/// The retry budget gave up requests whose backend could not even be connected to, and those that a
/// dying backend had at that moment.
#[test]
fn an_outage_of_two_backends_of_three_failed_requests_that_the_third_could_answer() {
    let (mut one, mut two, three) = (Backend::named("one"), Backend::named("two"), Backend::named("three"));
    // Probes are far away: the dead ones are still asked.
    let quiet = json!({ "health_check": { "interval": "10m" }, "retry": { "delay": "20ms" } });
    let balancer = Balancer::start(config(&[&one, &two, &three], quiet)).once_probed();
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        let ask = || {
            let mut client = balancer.connect();
            for _ in 0..30 {
                assert_eq!(client.get("/").status, 200);
                answered.fetch_add(1, Relaxed);
            }
        };
        let askers: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        eventually("some are answered", || answered.load(Relaxed) > 48);
        one.stop();
        two.stop();
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });
    assert_eq!(balancer.metrics_after(16 * 30)["failed_requests"], 0);
}

/// Several threads took requests in at once, so that of two on one connection the second could go first
/// and wait for its turn with a worker for ever.
#[test]
fn pipelined_requests_overtook_each_other_in_a_rush() {
    let backend = Backend::that(Behaviour::Echo(EchoOptions::default()));
    let balancer = Balancer::over(&[&backend]);
    thread::scope(|scope| {
        for client in 0..16 {
            let balancer = &balancer;
            scope.spawn(move || {
                let mut connection = balancer.connect();
                for round in 0..25 {
                    let paths = (0..8).map(|number| format!("/{client}/{round}/{number}"));
                    let requests =
                        paths.clone().map(|path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
                    connection.send(requests.collect::<String>());
                    paths.for_each(|path| assert_eq!(connection.read_response().json()["path"], path));
                }
            });
        }
    });
    assert_eq!(balancer.metrics_after(16 * 25 * 8)["failed_requests"], 0);
}

/// What came from a port that a connection had been closed on waited for the guard's next walk, and was
/// thrown away where that walk had begun before.
#[test]
fn a_client_that_came_back_from_the_same_port_waited_or_was_reset() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let mut port = None;
    for round in 0..100 {
        let from = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(0)));
        // The balancer ends it first, so that the port is free again as soon as our own end has arrived.
        let socket = eventually("the port is free", || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.bind(&from.into()).unwrap();
            socket.connect(&balancer.address().into()).ok().map(|()| socket)
        });
        port = socket.local_addr().unwrap().as_socket().map(|address| address.port());
        let mut client = Client::from(socket.into());
        client.ask("GET", "/", &[("Connection", "close")], b"");
        assert_eq!(client.read_response().text(), "one", "round {round}");
        assert!(client.read_to_close().is_empty(), "round {round}");
    }
    assert_eq!(balancer.metrics_after(100)["failed_requests"], 0);
}
