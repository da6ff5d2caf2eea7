//! TLS: the listener with its certificates, what backends and logs learn of it, the redirect, the PROXY
//! protocol before it, and `https` backends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Answer, Authority, Backend, Balancer, Behaviour, Client, Framing, Run, Signal, TlsClient, config,
    eventually, patience,
};

/// A balancer with a TLS listener beside the plain one, an authority, and where TLS is.
struct Tls {
    balancer: Balancer,
    authority: Authority,
    address: SocketAddr,
    _folder: TempDir,
}

fn start(backends: &[&Backend], tls: Value, more: Value) -> Tls {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (certificate, private_key) = authority.issue("one", &["one.example", "*.wild.example", "localhost"]);
    let (other, other_key) = authority.issue("two", &["two.example"]);
    let mut settings = json!({
        "listen": "127.0.0.1:0",
        "certificates": [
            { "certificate": certificate, "private_key": private_key },
            { "certificate": other, "private_key": other_key },
        ],
    });
    settings.as_object_mut().unwrap().extend(tls.as_object().unwrap().clone());
    let mut config = config(backends, more);
    config["tls"] = settings;
    let balancer = Balancer::start(config);
    let address = balancer.address_as("tls");
    Tls { balancer, authority, address, _folder: folder }
}

impl Tls {
    fn connect(&self, name: &str) -> TlsClient {
        TlsClient::connect(self.address, name, &self.authority).unwrap()
    }
}

#[test]
fn requests_by_tls_reach_the_backend_and_say_so() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({}), json!({}));
    let mut client = tls.connect("one.example");
    for _ in 0..3 {
        assert!(client.get("/path").ends_with("hello"), "kept alive");
    }
    let asked = backend.asked();
    let head = String::from_utf8_lossy(&asked[0].raw).into_owned();
    assert!(head.contains("X-Forwarded-Proto: https\r\n"), "{head}");
    assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");
    let line = tls.balancer.wait_for_access("/path");
    assert!(line.contains("client=127.0.0.1"), "{line}");
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({}), json!({}));
    for name in ["one.example", "a.wild.example", "localhost", "two.example"] {
        assert!(tls.connect(name).get("/").ends_with("hello"), "{name}");
    }
    let error = TlsClient::connect(tls.address, "three.example", &tls.authority).err().unwrap();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn both_versions_are_spoken_and_h2_is_not_promised() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({}), json!({}));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = TlsClient::speaking(tls.address, "one.example", &tls.authority, &[version]);
        let mut client = client.unwrap();
        assert!(client.get("/").ends_with("hello"));
        assert_eq!(client.session().protocol_version(), Some(version.version));
    }
}

#[test]
fn the_lowest_version_can_be_raised_and_by_a_reload() {
    use rustls::version::{TLS12, TLS13};
    let backend = Backend::named("one");
    let tls = start(&[&backend], json!({ "min_version": "1.3" }), json!({}));
    let speak = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        TlsClient::speaking(tls.address, "localhost", &tls.authority, versions)
    };
    assert!(speak(&[&TLS13]).unwrap().get("/").ends_with("one"));
    let refused = speak(&[&TLS12]).err().expect("1.2 is too low");
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
    let text = std::fs::read_to_string(tls.balancer.config_file()).unwrap();
    tls.balancer.write_config(&text.replace(r#""min_version":"1.3""#, r#""min_version":"1.2""#));
    eventually("1.2 will do", || speak(&[&TLS12]).ok()).get("/");
    let run = Run::of(["check"]).file(&text.replace(r#""1.3""#, r#""1.1""#)).output();
    assert!(run.stderr.contains(r#"tls.min_version: "1.1" is not one of "1.2", "1.3""#), "{run:?}");
}

#[test]
fn bodies_pass_both_ways() {
    let answer = vec![b'x'; 3_000_000];
    let backend = Backend::that(Behaviour::Answers(Answer::ok(answer.clone())));
    let tls = start(&[&backend], json!({}), json!({}));
    let mut client = tls.connect("one.example");
    let body = vec![b'y'; 2_000_000];
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
    client.send(&body);
    assert!(client.read_answer().len() > answer.len());
    assert_eq!(backend.asked()[0].body.len(), body.len());
    client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: x\r\n\r\n",
    );
    assert!(client.read_answer().len() > answer.len());
    assert_eq!(backend.asked()[1].body, b"hello");
}

#[test]
fn a_cut_answer_never_looks_whole() {
    let backend = Backend::that(Behaviour::BreaksOffAfter(100, Framing::UntilClose));
    let tls = start(&[&backend], json!({}), json!({ "retry": { "max_retries": 0 } }));
    let mut client = tls.connect("one.example");
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let mut bytes = Vec::new();
    let end = client.stream().read_to_end(&mut bytes);
    assert!(end.is_err(), "TLS must not end in order: {end:?}");
}

#[test]
fn a_drain_sends_a_slow_reader_all_of_its_answer() {
    const LENGTH: usize = 6 << 20;
    let backend = Backend::that(Behaviour::Answers(Answer::ok(vec![b'x'; LENGTH])));
    let mut tls = start(&[&backend], json!({}), json!({}));
    let mut client = tls.connect("one.example");
    client.send(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n");
    let mut piece = [0; 16 << 10];
    let mut got = client.stream().read(&mut piece).unwrap();
    tls.balancer.signal(Signal::TERM);
    tls.balancer.wait_for_log("msg=\"draining\"");
    loop {
        // The answer's head came before the drain: that the connection ends is no part of it.
        match client.stream().read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(read) => got += read,
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    assert!(got > LENGTH, "{got} of {LENGTH} and a head");
    assert_eq!(tls.balancer.wait_exit().code(), Some(0));
    assert_eq!(tls.balancer.account(), "accepted=1 answered=1 cut=0");
}

#[test]
fn an_idle_connection_is_closed_in_order() {
    let backend = Backend::named("one");
    let tls = start(&[&backend], json!({}), json!({ "timeouts": { "client_idle": "200ms" } }));
    let mut client = tls.connect("one.example");
    assert!(client.get("/").ends_with("one"));
    assert_eq!(client.stream().read(&mut [0]).expect("close_notify"), 0);
}

#[test]
fn idle_connections_are_closed_in_order_at_the_end() {
    let backend = Backend::named("one");
    let tls = start(&[&backend], json!({}), json!({}));
    let mut client = tls.connect("one.example");
    assert!(client.get("/").ends_with("one"));
    tls.balancer.signal(Signal::TERM);
    assert_eq!(client.stream().read(&mut [0]).expect("close_notify"), 0);
}

#[test]
fn stalled_handshakes_delay_nobody_and_are_ended() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({}), json!({ "timeouts": { "client_header": "1s" } }));
    let stalled: Vec<_> = (0..50)
        .map(|index| {
            let mut stream = TcpStream::connect(tls.address).unwrap();
            // Some say nothing, some the start of a ClientHello.
            stream.write_all(&[22, 3, 1, 2, 0, 1][..index % 7]).unwrap();
            Client::from(stream)
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..5 {
        assert!(tls.connect("one.example").get("/").ends_with("hello"));
    }
    assert!(begun.elapsed() < patience() / 2, "{:?}", begun.elapsed());
    for mut client in stalled {
        client.read_to_close();
    }
}

#[test]
fn plain_http_on_the_tls_port_and_garbage_cost_nothing() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({}), json!({}));
    for text in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\0\0\0\0\0\0\0\0\0\0\0\0", "SSH-2.0-OpenSSH_9.9\r\n"] {
        let mut client = Client::connect(tls.address);
        client.send(text.as_bytes());
        client.read_to_close();
    }
    assert!(tls.connect("one.example").get("/").ends_with("hello"));
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn renewed_certificates_are_used_without_a_restart() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({}), json!({}));
    let mut before = tls.connect("one.example");
    let known = before.session().peer_certificates().unwrap()[0].clone();
    tls.authority.issue("one", &["one.example"]);
    eventually("the new certificate is shown", || {
        let client = tls.connect("one.example");
        client.session().peer_certificates().unwrap()[0] != known
    });
    assert!(before.get("/").ends_with("hello"), "open connections stay");

    // A key that does not belong to it changes nothing.
    let (_, key) = tls.authority.issue("scrap", &["scrap.example"]);
    std::fs::copy(key, tls._folder.path().join("one.key")).unwrap();
    tls.balancer.wait_for_log("not the key of");
    assert!(tls.connect("one.example").get("/").ends_with("hello"));
}

#[test]
fn plain_requests_are_redirected_where_that_is_asked_for() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({ "redirect_http": true }), json!({}));
    let mut client = tls.balancer.connect();
    client.send(b"POST /a?b HTTP/1.1\r\nHost: one.example:80\r\nContent-Length: 0\r\n\r\n");
    let answer = client.read_response();
    assert_eq!(answer.status, 308);
    assert_eq!(answer.all("x-request-id").len(), 1, "{answer:?}");
    assert_eq!(answer.all("date").len(), 1, "{answer:?}");
    // The port as it is configured, which here is any free one.
    assert_eq!(answer.header("location"), Some("https://one.example:0/a?b"));
    assert_eq!(tls.balancer.get("/lb-health").status, 200, "our own pages are there all the same");
    assert!(tls.connect("one.example").get("/").ends_with("hello"));
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (certificate, _) = authority.issue("one", &["one.example"]);
    let (_, other_key) = authority.issue("two", &["two.example"]);
    let text = json!({ "tls": { "certificates": [
        { "certificate": certificate, "private_key": other_key },
        { "certificate": "/no/such/file.pem", "private_key": other_key },
    ] } });
    for words in [&["check"][..], &["--config"]] {
        let run = match words {
            ["check"] => Run::of(["check"]).file(&text.to_string()),
            _ => Run::with(&text),
        };
        let finished = run.output();
        assert_eq!(finished.code, Some(2));
        assert!(finished.stderr.contains("not the key of"), "{}", finished.stderr);
        assert!(finished.stderr.contains("/no/such/file.pem"), "{}", finished.stderr);
    }
}

#[test]
fn the_proxy_protocol_says_who_the_client_is() {
    let backend = Backend::named("hello");
    let tls = start(&[&backend], json!({ "proxy_protocol": true }), json!({}));
    let v2 =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 7, 127, 0, 0, 1, 0x30, 0x39, 0x20, 0xfb]]
            .concat();
    for header in [&b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 443\r\n"[..], &v2] {
        let mut stream = TcpStream::connect(tls.address).unwrap();
        // In two pieces, the second with the start of the handshake.
        stream.write_all(&header[..5]).unwrap();
        stream.write_all(&header[5..]).unwrap();
        let versions = [&rustls::version::TLS13];
        let mut client = TlsClient::over(stream, "one.example", &tls.authority, &versions).unwrap();
        assert!(client.get("/").ends_with("hello"));
    }
    for asked in backend.asked() {
        let head = String::from_utf8_lossy(&asked.raw).into_owned();
        assert!(head.contains("X-Forwarded-For: 192.0.2.7\r\n"), "{head}");
    }
    // Without one a connection is ended: anybody could be anybody.
    assert!(TlsClient::connect(tls.address, "one.example", &tls.authority).is_err());
}

#[test]
fn the_plain_listener_takes_the_proxy_protocol_too() {
    let backend = Backend::named("hello");
    let balancer = Balancer::start(config(&[&backend], json!({ "proxy_protocol": true })));
    let mut client = balancer.connect();
    client.send(b"PROXY TCP6 2001:db8::7 ::1 12345 80\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.read_response().text(), "hello");
    assert!(String::from_utf8_lossy(&backend.asked()[0].raw).contains("X-Real-IP: 2001:db8::7\r\n"));
    let mut client = balancer.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.read_to_close();
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn websockets_pass_through_tls() {
    let echo = |mut stream: TcpStream| {
        let mut buffer = [0; 4096];
        while !buffer.ends_with(b"!") {
            let read = stream.read(&mut buffer).unwrap();
            if buffer[..read].ends_with(b"\r\n\r\n") {
                stream
                    .write_all(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
                    )
                    .unwrap();
            } else if read == 0 {
                return;
            } else {
                stream.write_all(&buffer[..read]).unwrap();
            }
        }
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || echo(stream.unwrap()));
        }
    });
    let check = json!({ "backends": [{ "url": url }], "health_check": { "type": "tcp" } });
    let tls = start(&[], json!({}), check);
    let mut client = tls.connect("one.example");
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.stream().read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    for word in ["ping", "pong"] {
        client.send(word.as_bytes());
        let mut answer = [0; 4];
        client.stream().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, word.as_bytes());
    }
}

#[test]
fn an_https_backend_is_verified_and_used() {
    let backend = Backend::named("from behind tls");
    let inner = start(&[&backend], json!({}), json!({}));
    let url = format!("https://localhost:{}", inner.address.port());
    let outer = |ca: Option<String>| {
        let mut entry = json!({ "url": url });
        if let Some(ca) = ca {
            entry["ca"] = json!(ca);
        }
        Balancer::start(config(&[], json!({ "backends": [entry], "retry": { "max_retries": 0 } })))
    };
    let trusted = outer(Some(inner.authority.file())).once_probed();
    for _ in 0..3 {
        assert_eq!(trusted.get("/").text(), "from behind tls");
    }
    assert_eq!(trusted.states(), ["healthy"]);
    let stranger = tempfile::tempdir().unwrap();
    let distrusting = outer(Some(Authority::new(stranger.path()).file())).once_probed();
    distrusting.wait_for_states(&["unhealthy"]);
    assert_eq!(distrusting.get("/").status, 503);
    let line = distrusting.wait_for_log("backend marked UNHEALTHY");
    assert!(line.contains("invalid peer certificate"), "{line}");
}
