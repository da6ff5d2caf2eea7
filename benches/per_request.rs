//! What runs for each request, piece by piece: `cargo bench --bench per_request`. For before and after a
//! change; what a whole request costs is `bench/run`'s to say.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use loadbalancer::config::{self, Overrides, RateLimit};
use loadbalancer::duplex::Duplex;
use loadbalancer::frontend::{ClientRequest, ClientStream, Ending};
use loadbalancer::http::{BodyLength, Headers, RequestHead, Version, framing, request_id};
use loadbalancer::logging::writer::LineWriter;
use loadbalancer::metrics::{Metrics, Tally};
use loadbalancer::middleware::{AccessLog, Middleware, Next, RateLimiter};
use loadbalancer::pool::{ClientKey, Live, Tried};
use loadbalancer::proxy::forwarded::{self, Forwarding};
use loadbalancer::proxy::{End, Outcome};
use loadbalancer::reload;

fn main() {
    // Pieces of some 100 ns: many a sample, or the clock is what is measured.
    divan::Divan::default().sample_size(1000).config_with_args().main();
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
/// Few backends and many, for each algorithm.
const POOLS: [(&str, usize); 10] = [
    ("round_robin", 3),
    ("round_robin", 300),
    ("least_conn", 3),
    ("least_conn", 300),
    ("ip_hash", 3),
    ("ip_hash", 300),
    ("power_of_two", 3),
    ("power_of_two", 300),
    ("consistent_hash", 3),
    ("consistent_hash", 300),
];

// The only two that know how a pool is made and asked -----------------------------------------------

fn live(algorithm: &str, backends: usize) -> Live {
    let urls = (0..backends).map(|index| format!(r#"{{"url":"http://127.0.0.1:{}"}}"#, 3000 + index));
    let urls = urls.collect::<Vec<_>>().join(",");
    let text = format!(r#"{{"algorithm":"{algorithm}","backends":[{urls}]}}"#);
    let config = config::parse(&text, &Overrides::default()).expect("a valid configuration");
    reload::build(config, None)
}

fn lease_and_return(live: &Live, client: IpAddr) {
    let pool = live.default_pool();
    let _ = black_box(pool.lease(&ClientKey::of(client), &Tried::default(), Instant::now()));
}

// Choosing --------------------------------------------------------------------------------------------

/// A backend for one attempt, and back. 1 and 2 threads: what they share shows.
#[divan::bench(args = POOLS, threads = [1, 2])]
fn pick(bencher: Bencher, (algorithm, backends): (&str, usize)) {
    let live = live(algorithm, backends);
    bencher.bench(|| lease_and_return(&live, black_box(CLIENT)));
}

/// One client, and more than the table of buckets has room for.
#[divan::bench(args = [1, 100_000])]
fn rate_limit(bencher: Bencher, clients: u32) {
    let limiter = RateLimiter::default();
    let limit = RateLimit { requests_per_second: 1e9, burst: 1_000_000 };
    let next = AtomicU32::new(0);
    bencher.bench(|| {
        let number = next.fetch_add(1, Relaxed) % clients;
        limiter.take((0, IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))), &limit, Instant::now())
    });
}

// Heads -----------------------------------------------------------------------------------------------

/// As a browser sends it.
fn head() -> RequestHead {
    let mut headers = Headers::default();
    for (name, value) in [
        ("Host", "www.example.com"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Connection", "keep-alive"),
        ("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
        ("X-Forwarded-For", "203.0.113.9, 198.51.100.4"),
    ] {
        headers.push(name, value.as_bytes());
    }
    RequestHead { method: "GET".into(), target: "/a/page?of=many".into(), version: Version::Http11, headers }
}

#[divan::bench]
fn check_framing(bencher: Bencher) {
    let head = head();
    bencher.bench(|| framing::check(black_box(&head)));
}

#[divan::bench]
fn headers_to_backend(bencher: Bencher) {
    let head = head();
    let forwarding = Forwarding {
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        peer_is_trusted: true,
        client: CLIENT,
        is_https: false,
        request_id: "0123456789abcdef0123456789abcdef",
        name: "lb-0123456789abcdef",
        via: true,
    };
    bencher.bench(|| forwarded::to_backend(black_box(&head), &forwarding));
}

#[divan::bench]
fn headers_to_client(bencher: Bencher) {
    let mut answer = Headers::default();
    for (name, value) in [
        ("server", "nginx"),
        ("date", "Tue, 24 Nov 2026 15:00:00 GMT"),
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "70"),
        ("connection", "keep-alive"),
        ("set-cookie", "session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly"),
    ] {
        answer.push(name, value.as_bytes());
    }
    bencher.bench(|| forwarded::to_client(200, black_box(&answer), "0123456789abcdef0123456789abcdef"));
}

#[divan::bench]
fn new_request_id() -> String {
    request_id::new()
}

// Keeping account -------------------------------------------------------------------------------------

/// Builds a line and hands it over. The thread that writes has nowhere to write to, and what is too much
/// for it is dropped, as in a flood.
#[divan::bench]
fn access_log_line(bencher: Bencher) {
    let live = live("round_robin", 3);
    let log = AccessLog(LineWriter::start("log", Box::new(io::sink())).sender());
    let mut request = request();
    let outcome = Outcome {
        pool: Some(0),
        status: 200,
        backend: Some("http://127.0.0.1:3001".into()),
        attempts: 1,
        end: End::Relayed,
    };
    bencher.bench_local(|| log.handle(&mut request, &live, Next::new(&[], &|_, _| outcome.clone())));
}

#[divan::bench(threads = [1, 2])]
fn metrics_record(bencher: Bencher) {
    let metrics = Metrics::default();
    let tally = Tally { counts: Some(true), retries: 0, latency: Duration::from_micros(700), reason: None };
    bencher.bench(|| metrics.record(black_box(tally)));
}

fn request() -> ClientRequest {
    let peer = "127.0.0.1:4711".parse().expect("an address");
    let mut request =
        ClientRequest::new(head(), Ok(BodyLength::None), peer, false, Arc::default(), Box::new(Nobody));
    request.id = request_id::new();
    request
}

/// A client that takes everything and sends nothing.
struct Nobody;

impl ClientStream for Nobody {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
    fn body_is_pending(&self) -> bool {
        false
    }
    fn can_keep_alive(&self) -> bool {
        true
    }
    fn can_tunnel(&self) -> bool {
        false
    }
    fn tunnel(&mut self) -> io::Result<Box<dyn Duplex>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn give_up(&mut self) {}
    fn trailers(&mut self) -> Headers {
        Headers::default()
    }
    fn finish(&mut self, _: &[u8], _: Ending) -> io::Result<()> {
        Ok(())
    }
    fn waits_for_client(&self) -> bool {
        false
    }
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self, _: Ending) {}
}
