//! What docs/RELIABILITY.md promises in figures. `make test` runs it on a small scale, where it shows
//! that the way of measuring works; `make promises` runs it in full on the release build, and prints the
//! figures.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Client, Stop, behind_front, config, eventually};

/// Whether the full size was asked for.
fn in_full() -> bool {
    std::env::var_os("LB_TEST_FULL").is_some()
}

/// The full size, or the one for every day.
fn size(full: usize, small: usize) -> usize {
    if in_full() { full } else { small }
}

fn report(text: &str) {
    println!("PROMISE {text}");
}

/// The time that each of these requests took, one after the other for this long, on two connections.
fn latencies(address: SocketAddr, time: Duration) -> Vec<Duration> {
    let ask = move || {
        let (mut client, mut taken, start) = (Client::connect(address), Vec::new(), Instant::now());
        while start.elapsed() < time {
            let begun = Instant::now();
            assert_eq!(client.get("/plain").status, 200);
            taken.push(begun.elapsed());
            thread::park_timeout(Duration::from_millis(1));
        }
        taken
    };
    let mut all: Vec<_> = [thread::spawn(ask), thread::spawn(ask)]
        .into_iter()
        .flat_map(|asker| asker.join().unwrap())
        .collect();
    all.sort_unstable();
    all
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// A head, one byte a second; again from the start where it was refused.
fn trickle(address: SocketAddr, stop: &Stop) {
    while !stop.is_set() {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
            if stop.is_set() || stream.write_all(&[*byte]).is_err() {
                break;
            }
            // Ten looks at the stop a second.
            (0..10).take_while(|_| !stop.is_set()).for_each(|_| {
                thread::park_timeout(Duration::from_millis(100));
            });
        }
    }
}

#[test]
fn silent_and_slow_clients_do_not_slow_down_the_others() {
    allow_open_files();
    let (silent, slow) = (size(300, 60), size(100, 20));
    let time = Duration::from_secs(size(30, 2) as u64);
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], json!({ "access_log": false }))).once_probed();
    let address = balancer.address();
    latencies(address, Duration::from_millis(500));
    let before = latencies(address, time);
    let silent: Vec<_> = (0..silent).map(|_| balancer.connect()).collect();
    let stop = Stop::default();
    let during = thread::scope(|scope| {
        let end = stop.at_the_end();
        (0..slow).for_each(|_| _ = scope.spawn(|| trickle(address, &stop)));
        let during = latencies(address, time);
        drop(end);
        during
    });
    report(&format!(
        "{} silent connections and {slow} heads of a byte a second: p99 {:?} of {} requests, before {:?} of {}",
        silent.len(),
        p99(&during),
        during.len(),
        p99(&before),
        before.len(),
    ));
    // Other tests run beside the small one, on few processors; the full one (`make promises`) runs alone.
    let spare = if in_full() { Duration::ZERO } else { Duration::from_secs(1) };
    assert!(p99(&during) < p99(&before) * 2 + spare, "{:?} and {:?}", p99(&before), p99(&during));
}

/// The test's own limit: it holds as many connections as the balancer.
fn allow_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[test]
fn idle_connections_cost_little_memory() {
    if !behind_front() {
        return; // a connection of tiny_http's has a thread
    }
    allow_open_files();
    let count = size(2000, 200);
    let backend = Backend::named("one");
    let mut balancer = Balancer::start(config(&[&backend], json!({ "access_log": false }))).once_probed();
    (0..50).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    let before = balancer.process().memory("VmRSS");
    let mut idle: Vec<_> = (0..count).map(|_| balancer.connect()).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    balancer.metrics_when("active_requests", 0);
    let growth = balancer.process().memory("VmRSS").saturating_sub(before);
    report(&format!("{count} idle connections: {} KiB, {} each", growth >> 10, growth / count as u64));
    assert!(growth < 64 << 20, "{growth} bytes");
    // They are all still of use.
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
}

/// A backend that takes any body and sends any, without keeping it: `PUT /`, `GET /BYTES`.
fn streaming_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve_stream(&stream.unwrap()));
        }
    });
    address
}

fn serve_stream(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    loop {
        let (mut start, mut length) = (String::new(), 0);
        if reader.read_line(&mut start)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let taken = io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        let wanted = start.split(' ').nth(1).and_then(|target| target[1..].parse::<u64>().ok());
        let body = taken.to_string();
        match wanted {
            Some(bytes) => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")?;
                io::copy(&mut io::repeat(b'x').take(bytes), &mut stream)?;
            }
            None => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?,
        }
    }
}

#[test]
fn a_large_body_passes_through_little_memory() {
    let bytes = (size(1024, 64) as u64) << 20;
    let mut config = config(&[], json!({ "access_log": false }));
    config["backends"] = json!([{ "url": format!("http://{}", streaming_backend()) }]);
    let mut balancer = Balancer::start(config);
    (0..20).for_each(|_| assert_eq!(balancer.get("/100000").body.len(), 100_000));
    for way in ["upload", "download"] {
        let before = balancer.process().memory("VmHWM");
        let mut stream = TcpStream::connect(balancer.address()).unwrap();
        let begun = Instant::now();
        if way == "upload" {
            let head =
                format!("PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            io::copy(&mut io::repeat(b'x').take(bytes), &mut stream).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with(&format!("\r\n\r\n{bytes}")), "{answer}");
        } else {
            write!(stream, "GET /{bytes} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let received = io::copy(&mut stream, &mut io::sink()).unwrap();
            assert!((bytes..bytes + 1000).contains(&received), "{received}");
        }
        let growth = balancer.process().memory("VmHWM").saturating_sub(before);
        let rate = (bytes >> 20) as f64 / begun.elapsed().as_secs_f64();
        report(&format!(
            "{way} of {} MiB: {} KiB more at the most, {rate:.0} MiB/s",
            bytes >> 20,
            growth >> 10
        ));
        assert!(growth < 16 << 20, "{way}: {growth} bytes");
    }
}

/// A backend in a process of its own.
struct Killable {
    child: Child,
    port: u16,
}

impl Killable {
    fn start(port: u16) -> Killable {
        let child = Command::new(env!("CARGO_BIN_EXE_backend_server"))
            .args(["--port", &port.to_string(), "--name", "killable"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the backend listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Killable { child, port }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn entry(&self) -> Value {
        json!({ "url": format!("http://127.0.0.1:{}", self.port) })
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that are free for now: a process that is killed has to come back on its own.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn killing_a_backend_costs_no_get() {
    let clients = size(64, 16);
    let rounds = size(30, 3);
    let mut backends = free_ports::<3>().map(Killable::start);
    let mut config = config(&[], json!({ "access_log": false }));
    config["backends"] = backends.iter().map(Killable::entry).collect();
    let balancer = Balancer::start(config).once_probed();
    let (address, stop, answered) = (balancer.address(), Stop::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        let end = stop.at_the_end();
        let ask = || {
            let mut client = Client::connect(address);
            while !stop.is_set() {
                let answer = client.get("/");
                assert_eq!(answer.status, 200, "{}", answer.text());
                answered.fetch_add(1, Relaxed);
            }
        };
        let askers: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        for round in 0..rounds {
            let before = answered.load(Relaxed);
            let more = |count| eventually("answers go on", || answered.load(Relaxed) > before + count);
            more(200);
            let victim = &mut backends[round % 3];
            victim.kill();
            more(600);
            *victim = Killable::start(victim.port);
            balancer.wait_for_states(&["healthy"; 3]);
        }
        drop(end);
        // A panic in one of them is an error that a client has seen.
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });
    report(&format!("{rounds} kills of a backend under {clients} clients: {answered:?} GETs, no error"));
}
