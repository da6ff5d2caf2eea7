//! Bytes from and to clients and backends, counted as they pass, on every kind of listener.

use serde_json::{Value, json};

use crate::support::{
    Admin, Answer, Authority, Backend, Behaviour, TlsClient, behind_front, config, eventually,
};

const BODY: usize = 100_000;

/// The figures by the admin listener, whose own bytes are none of them.
fn figures(admin: &Admin) -> Value {
    admin.ask("GET", "/lb-metrics", &[]).json()
}

/// From and to clients, from and to the one backend.
fn bytes(admin: &Admin) -> [u64; 4] {
    let page = figures(admin);
    let backend = &page["backends"][0];
    [&page["received_bytes"], &page["sent_bytes"], &backend["received_bytes"], &backend["sent_bytes"]]
        .map(|value| value.as_u64().unwrap())
}

fn answering(body: Vec<u8>) -> Backend {
    Backend::that(Behaviour::Answers(Answer::ok(body)))
}

#[test]
fn what_passes_is_counted_to_the_byte_and_probes_are_not() {
    let backend = answering(vec![b'd'; 3 * BODY]);
    let admin = Admin::over(config(&[&backend], json!({ "admin": { "listen": "127.0.0.1:0" } })));
    backend.wait_for_probes(3);
    assert_eq!(bytes(&admin), [0; 4]);
    let mut client = admin.balancer.connect();
    let request =
        format!("POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {BODY}\r\n\r\n");
    client.send(request.as_bytes());
    client.send(vec![b'u'; BODY]);
    let answer = client.read_to_close().len() as u64;
    let counted = eventually("all is counted", || Some(bytes(&admin)).filter(|it| it[1] >= answer));
    let [received, sent, from_backend, to_backend] = counted;
    let whole = (request.len() + BODY) as u64;
    assert_eq!(sent, answer);
    match behind_front() {
        true => assert_eq!(received, whole),
        // tiny_http shows no bytes, so its heads are reckoned.
        false => assert!((BODY as u64..=whole).contains(&received), "{received} of {whole}"),
    }
    // Heads are a little different on that side.
    let near = |found: u64, body: usize| (body as u64 + 20..body as u64 + 2_000).contains(&found);
    assert!(near(from_backend, 3 * BODY) && near(to_backend, BODY), "{counted:?}");
    let page = admin.ask("GET", "/lb-metrics?format=prometheus", &[]);
    let labels = format!("{{pool=\"default\",backend=\"{}\"}}", backend.url());
    for (name, value) in [
        ("loadbalancer_received_bytes_total".to_owned(), received),
        ("loadbalancer_sent_bytes_total".to_owned(), sent),
        (format!("loadbalancer_backend_received_bytes_total{labels}"), from_backend),
        (format!("loadbalancer_backend_sent_bytes_total{labels}"), to_backend),
    ] {
        assert!(page.text().contains(&format!("\n{name} {value}\n")), "{name} {value} in {}", page.text());
    }
}

/// A long answer is seen while it passes, and not in one heap at its end.
#[test]
fn they_are_counted_as_they_pass() {
    let held = Backend::that(Behaviour::HoldsHalfWay(Answer::ok(vec![b'd'; 2 * BODY])));
    let admin = Admin::over(config(&[&held], json!({ "admin": { "listen": "127.0.0.1:0" } })));
    let mut client = admin.balancer.asking("/");
    eventually("half of it is counted", || {
        let [_, sent, from_backend, _] = bytes(&admin);
        sent >= BODY as u64 && from_backend >= BODY as u64
    });
    held.release();
    client.read_response();
    eventually("all of it is", || bytes(&admin)[1] > 2 * BODY as u64);
}

#[test]
fn of_tls_only_what_is_inside_counts() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), answering(b"inside".to_vec()));
    let authority = Authority::new(folder.path());
    let (file, key) = authority.issue("own", &["a.example"]);
    let tls =
        json!({ "listen": "127.0.0.1:0", "certificates": [{ "certificate": file, "private_key": key }] });
    let admin = Admin::over(config(&[&backend], json!({ "admin": { "listen": "127.0.0.1:0" }, "tls": tls })));
    let mut client = TlsClient::connect(admin.balancer.address_as("tls"), "a.example", &authority).unwrap();
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    client.send(REQUEST);
    let answer = client.read_answer().len() as u64;
    eventually("it is counted", || bytes(&admin)[1] >= answer);
    let [received, sent, ..] = bytes(&admin);
    assert_eq!((received, sent), (REQUEST.len() as u64, answer));
}

#[test]
fn behind_a_proxy_header_only_the_request_counts() {
    let backend = answering(b"inside".to_vec());
    let more = json!({ "admin": { "listen": "127.0.0.1:0" }, "proxy_protocol": true, "front": true });
    let admin = Admin::over(config(&[&backend], more));
    let mut client = admin.balancer.connect();
    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client.send(format!("PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n{REQUEST}"));
    let answer = client.read_to_close().len() as u64;
    eventually("it is counted", || bytes(&admin)[1] >= answer);
    assert_eq!(bytes(&admin)[..2], [REQUEST.len() as u64, answer]);
}

#[test]
fn a_tunnel_s_bytes_count_on_both_sides() {
    for front in [true, false] {
        let (backend, balancer) = crate::support::balancer_by_hand(json!({ "front": front }));
        let page = || balancer.get("/lb-metrics").json()["backends"][0].clone();
        let mut client = balancer.connect();
        client.send("GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        let mut exchange = backend.next();
        exchange.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        client.read_until("\r\n\r\n");
        let (before, clients) = (page(), balancer.metrics());
        client.send(vec![b'u'; BODY]);
        exchange.read(BODY);
        exchange.send(vec![b'd'; 2 * BODY]);
        client.read(2 * BODY);
        let grown = |page: Value, name: &str| page[name].as_u64().unwrap() - before[name].as_u64().unwrap();
        eventually("the backend's side is counted", || {
            let (received, sent) = (grown(page(), "received_bytes"), grown(page(), "sent_bytes"));
            received == 2 * BODY as u64 && sent == BODY as u64
        });
        let now = balancer.metrics();
        let more = |name: &str| now[name].as_u64().unwrap() - clients[name].as_u64().unwrap();
        assert!(
            more("received_bytes") >= BODY as u64 && more("sent_bytes") >= 2 * BODY as u64,
            "front: {front}"
        );
    }
}
