//! Answers of backends that are unusual, and what is theirs alone: connections that belong to one client, or
//! that are closed without a word.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Authority, Balancer, ByHand, balancer_by_hand, behind_front, config, patience, skip};

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";

fn with_fields(count: usize) -> String {
    let fields: String = (1..count).map(|number| format!("X-{number}: {number}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 5\r\n\r\nplain")
}

#[test]
fn answers_of_up_to_256_fields_pass() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for count in [127, 128, 129, 200, 256] {
        let mut client = balancer.asking("/");
        let mut exchange = backend.next();
        exchange.send(with_fields(count));
        exchange.keep_alive();
        let answer = client.read_response();
        let ours = answer.headers.iter().filter(|(name, _)| name[2..].parse::<u32>().is_ok()).count();
        assert_eq!((answer.text(), ours), ("plain", count - 1));
    }
}

#[test]
fn an_answer_of_more_fields_is_no_failure_of_its_backend() {
    let backends = [ByHand::start(), ByHand::start()];
    let mut config = config(&[], json!({ "circuit_breaker": { "failures": 2 } }));
    config["backends"] = json!([backends[0].entry()[0], backends[1].entry()[0]]);
    let balancer = Balancer::start(config);
    for number in 0..8 {
        let mut client = balancer.asking("/");
        let mut exchange = backends[number % 2].next();
        exchange.send(with_fields(257));
        assert_eq!(client.read_response().status, 502);
    }
    let page = balancer.metrics();
    assert_eq!(page["retry_attempts"], 0);
    for backend in page["backends"].as_array().unwrap() {
        assert_eq!((&backend["breaker"], &backend["state"]), (&json!("closed"), &json!("healthy")));
    }
}

#[test]
fn a_coding_that_nobody_asked_for_is_502() {
    let (backend, balancer) = balancer_by_hand(json!({ "retry": { "max_retries": 0 } }));
    for coding in ["gzip, chunked", "gzip", "chunked, chunked", "identity"] {
        let mut client = balancer.asking("/");
        let mut exchange = backend.next();
        exchange
            .send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nplain\r\n0\r\n\r\n"));
        assert_eq!(client.read_response().status, 502, "{coding}");
    }
    let mut client = balancer.asking("/");
    let mut exchange = backend.next();
    exchange
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.read_response().status, 502, "on two lines");
}

#[test]
fn chunk_extensions_are_of_no_account() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for length in [1, 14, 30, 300, 3000] {
        let mut client = balancer.asking("/");
        let mut exchange = backend.next();
        let extension = "x".repeat(length);
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.send(format!("5;{extension}\r\nplain\r\n0;{extension}\r\n\r\n"));
        exchange.keep_alive();
        assert_eq!(client.read_response().text(), "plain", "{length}");
    }
}

#[test]
fn a_connection_that_is_authenticated_is_nobody_elses() {
    let (backend, balancer) = balancer_by_hand(json!({}));
    for scheme in ["NTLM", "Negotiate", "negotiate YII=", "Basic realm=\"x\""] {
        let mut client = balancer.asking("/");
        let mut exchange = backend.next();
        exchange.send(format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {scheme}\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(client.read_response().status, 401);
        let stays = scheme.starts_with("Basic");
        let within = if stays { Duration::from_millis(300) } else { patience() };
        assert_eq!(exchange.is_ended_within(within), !stays, "{scheme}");
    }
    for scheme in ["NTLM TlRMTVNTUAAD", "Negotiate YII="] {
        let mut client = balancer.connect();
        client.ask("GET", "/", &[("Authorization", scheme)], b"");
        let mut exchange = backend.next();
        exchange.send(PLAIN);
        assert_eq!(client.read_response().text(), "plain");
        assert!(exchange.is_ended_within(patience()), "{scheme}");
    }
}

/// Answers each request on its connections with these bytes, and counts connections and requests.
struct Server {
    listener: TcpListener,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// `closes`: without having said so, behind each answer.
    fn start(closes: bool) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (accepting, count) = (listener.try_clone().unwrap(), Arc::clone(&connections));
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let count = Arc::clone(&count);
                thread::spawn(move || serve(stream, closes, &count));
            }
        });
        Server { listener, connections }
    }

    fn config(&self, more: Value) -> Value {
        let mut config = config(&[], more);
        config["backends"] = json!([{ "url": format!("http://{}", self.listener.local_addr().unwrap()) }]);
        config
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read);
    }
}

fn serve(mut stream: TcpStream, closes: bool, connections: &AtomicUsize) {
    stream.set_nodelay(true).unwrap();
    let (mut piece, mut seen, mut is_counted) = ([0; 4096], Vec::new(), false);
    while let Ok(amount @ 1..) = stream.read(&mut piece) {
        seen.extend_from_slice(&piece[..amount]);
        let is_whole = seen.ends_with(if seen.starts_with(b"POST ") { b"hello" } else { b"\r\n\r\n" });
        if !is_whole {
            continue;
        }
        if !seen.starts_with(b"GET /health ") && !is_counted {
            is_counted = true;
            connections.fetch_add(1, SeqCst);
        }
        seen.clear();
        if stream.write_all(PLAIN.as_bytes()).is_err() || closes {
            return;
        }
    }
}

#[test]
fn a_backend_that_closes_without_saying_so_loses_no_post() {
    let server = Server::start(true);
    let balancer = Balancer::start(server.config(json!({ "health_check": { "interval": "1h" } })));
    let mut client = balancer.connect();
    for number in 0..200 {
        client.ask("POST", "/", &[], b"hello");
        assert_eq!(client.read_response().status, 200, "POST {number}");
        // What can be repeated leaves a connection behind that a POST must not take.
        client.ask("GET", "/", &[], b"");
        assert_eq!(client.read_response().status, 200, "GET {number}");
    }
}

#[test]
fn a_backend_that_keeps_its_connections_is_connected_to_seldom() {
    let server = Server::start(false);
    let more = json!({ "health_check": { "interval": "1h" }, "timeouts": { "backend_idle": "1m" } });
    let balancer = Balancer::start(server.config(more));
    let mut client = balancer.connect();
    for _ in 0..200 {
        client.ask("POST", "/", &[], b"hello");
        assert_eq!(client.read_response().status, 200);
        client.ask("GET", "/", &[], b"");
        assert_eq!(client.read_response().status, 200);
    }
    let connections = server.connections.load(SeqCst);
    assert!(connections <= 10, "{connections} for 400 requests, one after the other");
}

/// By TLS, with an answer that ends with its connection; `is_told` says that it does.
fn tls_backend(folder: &std::path::Path, authority: &Authority) -> (TcpListener, rustls::ServerConfig) {
    let (certificate, key) = authority.issue("backend", &["localhost"]);
    let pem = |path: &str| std::fs::read(folder.join(path)).unwrap();
    let certificates =
        rustls::pki_types::pem::PemObject::pem_slice_iter(&pem(&certificate)).collect::<Result<Vec<_>, _>>();
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(&pem(&key)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates.unwrap(), key)
        .unwrap();
    (TcpListener::bind("127.0.0.1:0").unwrap(), config)
}

#[test]
fn an_encrypted_answer_that_is_cut_does_not_look_whole() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (listener, tls) = tls_backend(folder.path(), &authority);
    let port = listener.local_addr().unwrap().port();
    let tls = Arc::new(tls);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut session = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
            let mut by_tls = rustls::Stream::new(&mut session, &mut stream);
            let mut piece = [0; 4096];
            let Ok(amount @ 1..) = by_tls.read(&mut piece) else { continue };
            let is_whole = piece[..amount].starts_with(b"GET /whole ");
            let _ = by_tls.write_all(b"HTTP/1.1 200 OK\r\n\r\nplain");
            if is_whole || piece.starts_with(b"GET /health ") {
                session.send_close_notify();
                let _ = session.write_tls(&mut stream);
            }
        }
    });
    let mut config = config(&[], json!({}));
    config["backends"] = json!([{ "url": format!("https://localhost:{port}"), "ca": authority.file() }]);
    let balancer = Balancer::start(config).once_probed();
    for version in ["1.1", "1.0"] {
        let ask = |path: &str| {
            let mut client = balancer.connect();
            client.send(format!("GET {path} HTTP/{version}\r\nHost: x\r\n\r\n"));
            client.try_read_response_to("GET")
        };
        assert_eq!(ask("/whole").unwrap().text(), "plain", "{version}");
        assert!(ask("/cut").is_err(), "{version}");
    }
}

#[test]
fn an_upgrade_with_a_body_is_a_tunnel() {
    if !behind_front() {
        return skip("tiny_http leaves a body that nobody can tell from the tunnel's first bytes");
    }
    let (backend, balancer) = balancer_by_hand(json!({}));
    let heads: HashSet<_> = [
        "Connection: Upgrade\r\nUpgrade: tcp",
        "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: tcp",
    ]
    .into();
    for asks in heads {
        for body in ["Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
        {
            let mut client = balancer.connect();
            client.send(format!("POST /exec HTTP/1.1\r\nHost: x\r\n{asks}\r\n{body}early"));
            let mut exchange = backend.next();
            assert_eq!(exchange.head.header("upgrade"), Some("tcp"));
            assert_eq!(exchange.try_read_body().unwrap(), b"{}");
            exchange.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nlate");
            client.read_until("\r\n\r\nlate");
            assert_eq!(exchange.read(5), b"early");
            client.send("ping");
            assert_eq!(exchange.read(4), b"ping");
        }
    }
}

#[test]
fn an_upgrade_to_http_2_is_a_plain_request_and_leaves_the_connection() {
    if !behind_front() {
        return skip("tiny_http gives each upgrade the raw connection, so it is the last request");
    }
    let (backend, balancer) = balancer_by_hand(json!({}));
    let mut client = balancer.connect();
    let text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    client.send(text.repeat(2));
    for _ in 0..2 {
        let mut exchange = backend.next();
        assert_eq!((exchange.head.header("upgrade"), exchange.head.header("http2-settings")), (None, None));
        exchange.send(PLAIN);
        exchange.keep_alive();
        assert_eq!(client.read_response().text(), "plain");
    }
}
