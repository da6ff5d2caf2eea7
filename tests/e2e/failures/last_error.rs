//! What is tried again after it was sent, how long that takes, and which of several failures the client
//! is told of.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::{Backend, Balancer, Behaviour, config, fields};

/// Settings under which only this one request's own failures decide where it goes: no breaker, and no
/// probe after the first.
fn undisturbed() -> Value {
    json!({ "circuit_breaker": { "enabled": false }, "health_check": { "interval": "1h" } })
}

#[test]
fn what_may_arrive_twice_is_sent_again_and_nothing_else() {
    let (bad, good) = (Backend::that(Behaviour::ClosesBeforeHead), Backend::named("good"));
    let balancer = Balancer::start(config(&[&bad, &good], undisturbed()));
    // What the two backends have seen of a method.
    let seen = |method: &str| {
        let count = |backend: &Backend| {
            let asked = backend.asked();
            asked.iter().filter(|asked| asked.start.starts_with(&format!("{method} "))).count()
        };
        (count(&bad), count(&good))
    };
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        let statuses = [0, 1].map(|_| balancer.ask(method, "/", &[], b"").status);
        assert_eq!((statuses, seen(method)), ([200, 200], (1, 2)), "{method}");
    }
    for method in ["POST", "PATCH"] {
        let mut statuses = [0, 1].map(|_| balancer.ask(method, "/", &[], b"").status);
        statuses.sort();
        assert_eq!((statuses, seen(method)), ([200, 502], (1, 1)), "{method}");
    }
}

/// A port where somebody listens, and whose queue of connections to take is full for ever.
struct Deaf {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Deaf {
    fn start() -> Deaf {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(1).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
        let queue: Vec<_> = std::iter::from_fn(connect).take(10).collect();
        assert!(queue.len() < 10, "it takes connections without end");
        Deaf { address, _listener: listener, _queue: queue }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Whatever else could end the wait is far away: probes of a deaf backend hang as well.
fn impatient(urls: &[String], retries: u32, (connect, request): (&str, &str)) -> Balancer {
    let backends: Vec<Value> = urls.iter().map(|url| json!({ "url": url })).collect();
    let more = json!({
        "circuit_breaker": { "enabled": false },
        "health_check": { "interval": "1h", "timeout": "1h" },
        "retry": { "max_retries": retries },
        "timeouts": { "connect": connect, "request": request },
    });
    let mut config = config(&[], more);
    config["backends"] = json!(backends);
    Balancer::start(config)
}

#[test]
fn a_backend_that_takes_no_connection_costs_the_connect_timeout_and_no_answer() {
    let (deaf, good) = (Deaf::start(), Backend::named("good"));
    let balancer = impatient(&[deaf.url(), good.url()], 1, ("200ms", "1h"));
    let attempts = ["/a", "/b"].map(|path| {
        let begun = Instant::now();
        assert_eq!(balancer.ask("POST", path, &[], b"an order").text(), "good");
        let line = fields(&balancer.wait_for_access(path));
        let attempts: u32 = line.iter().find(|(name, _)| name == "attempts").unwrap().1.parse().unwrap();
        assert!(attempts == 1 || begun.elapsed() >= Duration::from_millis(200), "{line:?}");
        attempts
    });
    assert_eq!(attempts.iter().sum::<u32>(), 3, "one of the two found it deaf: {attempts:?}");
}

#[test]
fn where_nobody_takes_a_connection_in_time_it_is_503() {
    let deaf = Deaf::start();
    // An attempt is over after `request`, however far it has come.
    for limits in [("200ms", "1h"), ("1h", "200ms")] {
        let balancer = impatient(&[deaf.url()], 1, limits);
        let begun = Instant::now();
        let answer = balancer.get("/");
        assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("no_healthy_backend")));
        assert!(begun.elapsed() >= Duration::from_millis(400), "two attempts, {:?}", begun.elapsed());
    }
}

#[test]
fn a_retry_waits_for_its_delay() {
    const DELAY: Duration = Duration::from_millis(300);
    let bad = [(); 2].map(|()| Backend::that(Behaviour::ClosesBeforeHead));
    for retries in [1, 2] {
        let mut more = undisturbed();
        more["retry"] = json!({ "delay": "300ms", "max_retries": retries });
        let balancer = Balancer::start(config(&bad.each_ref(), more));
        let begun = Instant::now();
        assert_eq!(balancer.get("/").status, 502);
        assert!(begun.elapsed() >= DELAY * retries, "{retries} retries in {:?}", begun.elapsed());
    }
}

#[test]
fn the_last_backend_tried_decides_what_the_client_is_told() {
    use Behaviour::{ClosesBeforeHead, Hangs, NotHttp, Refuses};
    for (first, last, status, reason) in [
        (Hangs, Refuses, 503, "no_healthy_backend"),
        (Refuses, Hangs, 504, "backend_timeout"),
        (Hangs, ClosesBeforeHead, 502, "backend_closed"),
        (ClosesBeforeHead, Hangs, 504, "backend_timeout"),
        (ClosesBeforeHead, Refuses, 503, "no_healthy_backend"),
        (Refuses, NotHttp, 502, "backend_not_http"),
        (NotHttp, ClosesBeforeHead, 502, "backend_closed"),
    ] {
        // One that refuses has to be found healthy first, or it is not tried at all.
        let refuses = [&first, &last].map(|behaviour| matches!(behaviour, Refuses));
        let mut backends = [&first, &last].map(|behaviour| match behaviour {
            Refuses => Backend::named("gone"),
            behaviour => Backend::that(behaviour.clone()),
        });
        let mut more = undisturbed();
        more["retry"] = json!({ "max_retries": 1 });
        more["timeouts"] = json!({ "request": "500ms" });
        let balancer = Balancer::start(config(&backends.each_ref(), more)).once_probed();
        for (backend, _) in backends.iter_mut().zip(refuses).filter(|(_, refuses)| *refuses) {
            backend.stop();
        }
        let answer = balancer.get("/x");
        let told = (answer.status, answer.header("x-lb-reason"));
        assert_eq!(told, (status, Some(reason)), "{first:?}, then {last:?}");
        let line = fields(&balancer.wait_for_access("/x"));
        assert!(line.contains(&("attempts".into(), "2".into())), "{line:?}");
    }
}
