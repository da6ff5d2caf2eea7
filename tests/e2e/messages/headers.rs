//! Fields and bodies on their way through, both ways.

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Balancer, Behaviour, Framing, Health, config};

fn one() -> (Backend, Balancer) {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    (backend, balancer)
}

/// A balancer that trusts nobody.
fn strict() -> (Backend, Balancer) {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], json!({ "trusted_proxies": [] })));
    (backend, balancer)
}

fn answering(headers: &[(&'static str, &'static str)], framing: Framing) -> (Backend, Balancer) {
    let answer = Answer { headers: headers.to_vec(), framing, ..Answer::ok("body") };
    let backend = Backend::that(Behaviour::Answers(answer));
    let balancer = Balancer::over(&[&backend]);
    (backend, balancer)
}

#[test]
fn the_backend_sees_what_the_client_sent_and_the_forwarding_fields_alone() {
    let (backend, balancer) = one();
    balancer.get("/a/b?c=%20d&e");
    let asked = backend.wait_for(1);
    assert_eq!(asked.start, "GET /a/b?c=%20d&e HTTP/1.1");
    let expected = "host via x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip \
                    x-request-id";
    assert_eq!(asked.names().join(" "), expected);
    assert_eq!(asked.header("host"), Some("example.com"));
    assert_eq!(asked.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(asked.header("x-forwarded-proto"), Some("http"));
    assert_eq!(asked.header("x-forwarded-host"), Some("example.com"));
    assert!(asked.header("via").unwrap().starts_with("1.1 "));
}

#[test]
fn host_header_backend_names_the_backend_that_is_asked() {
    let (bad, good) = (Backend::that(Behaviour::ClosesBeforeHead), Backend::named("good"));
    let balancer = Balancer::start(config(&[&bad, &good], json!({ "host_header": "backend" })));
    assert_eq!(balancer.get("/").text(), "good");
    for backend in [&bad, &good] {
        let asked = backend.wait_for(1);
        assert_eq!(asked.all("host"), [backend.address().to_string()]);
        assert_eq!(asked.all("x-forwarded-host"), ["example.com"]);
    }
}

#[test]
fn hop_by_hop_fields_end_at_the_balancer() {
    let (backend, balancer) = one();
    let fields = [
        ("Connection", "keep-alive, X-Private"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("TE", "trailers"),
        ("X-Public", "2"),
    ];
    balancer.ask("GET", "/", &fields, b"");
    let asked = backend.wait_for(1);
    for (name, _) in &fields[1..6] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert!(!asked.header("connection").unwrap_or("").to_lowercase().contains("x-private"));
    assert_eq!(asked.header("x-public"), Some("2"));
}

#[test]
fn host_and_the_forwarding_fields_can_not_be_named_away() {
    let (backend, balancer) = one();
    balancer.ask("GET", "/", &[("Connection", "close, Host, X-Real-IP, Via")], b"");
    let asked = backend.wait_for(1);
    for name in ["host", "x-real-ip", "via"] {
        assert!(asked.header(name).is_some(), "{name}");
    }
}

#[test]
fn the_way_is_continued_for_a_trusted_proxy() {
    let (backend, balancer) = one();
    let fields = [
        ("X-Forwarded-For", "192.0.2.1, 198.51.100.2"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
        ("X-Request-ID", "abc-123"),
        ("Via", "1.1 front"),
    ];
    let answer = balancer.ask("GET", "/", &fields, b"");
    let asked = backend.wait_for(1);
    let way = asked.all("x-forwarded-for").join(", ").replace(", ", ",");
    assert_eq!(way, "192.0.2.1,198.51.100.2,127.0.0.1");
    assert_eq!(asked.all("x-real-ip"), ["198.51.100.2"]);
    assert_eq!(asked.all("x-forwarded-proto"), ["https"]);
    assert_eq!(asked.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(asked.all("x-request-id"), ["abc-123"]);
    assert!(asked.all("via").join(", ").starts_with("1.1 front, 1.1 "));
    assert_eq!(answer.all("x-request-id"), ["abc-123"]);
}

#[test]
fn a_stranger_s_story_is_replaced() {
    let (backend, balancer) = strict();
    let fields = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.2"),
        ("X-Real-IP", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
        ("X-Request-ID", "abc-123"),
    ];
    let answer = balancer.ask("GET", "/", &fields, b"");
    let asked = backend.wait_for(1);
    assert_eq!(asked.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(asked.all("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(asked.all("x-forwarded-proto"), ["http"]);
    assert_eq!(asked.all("x-forwarded-host"), ["example.com"]);
    assert_eq!(asked.all("x-request-id").len(), 1);
    assert_ne!(asked.header("x-request-id"), Some("abc-123"));
    assert_eq!(answer.header("x-request-id"), asked.header("x-request-id"));
}

#[test]
fn a_stranger_s_other_stories_are_dropped_too() {
    let stories = [
        ("Forwarded", "for=192.0.2.1;proto=https"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Forwarded-Server", "inside"),
        ("X_Forwarded_For", "192.0.2.1"),
        ("X_Real_IP", "192.0.2.1"),
    ];
    let (backend, balancer) = strict();
    balancer.ask("GET", "/", &stories, b"");
    let expected = "host via x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-request-id";
    assert_eq!(backend.wait_for(1).names().join(" "), expected);
    let (backend, balancer) = one();
    balancer.ask("GET", "/", &stories, b"");
    let asked = backend.wait_for(1);
    for (name, value) in &stories[..4] {
        assert_eq!(asked.all(&name.to_lowercase()), [*value], "{name} of a trusted peer");
    }
    assert_eq!((asked.header("x_forwarded_for"), asked.header("x_real_ip")), (None, None));
}

#[test]
fn what_a_trusted_proxy_says_has_to_make_sense() {
    let (backend, balancer) = one();
    let fields = [("X-Forwarded-Proto", "javascript"), ("X-Forwarded-Host", "shop.example/?")];
    balancer.ask("GET", "/", &fields, b"");
    let asked = backend.wait_for(1);
    assert_eq!(asked.all("x-forwarded-proto"), ["http"]);
    assert_eq!(asked.all("x-forwarded-host"), ["example.com"]);
}

/// As Java's HttpClient and curl's `--http2` ask.
#[test]
fn an_upgrade_that_carries_http_is_not_passed_on() {
    let (backend, balancer) = one();
    let fields = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
    ];
    assert_eq!(balancer.ask("GET", "/", &fields, b"").text(), "one");
    let asked = backend.wait_for(1);
    for name in ["upgrade", "http2-settings"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert!(!asked.header("connection").unwrap_or("").to_lowercase().contains("upgrade"));
}

#[test]
fn a_426_says_what_to_upgrade_to() {
    let headers = vec![("Upgrade", "TLS/1.2, HTTP/1.1"), ("Connection", "Upgrade")];
    let answer = Answer { status: 426, headers, ..Answer::ok("by TLS, please") };
    let backend = Backend::that(Behaviour::Answers(answer));
    let answer = Balancer::over(&[&backend]).get("/");
    assert_eq!((answer.status, answer.header("upgrade")), (426, Some("TLS/1.2, HTTP/1.1")));
    assert!(answer.all("connection").iter().any(|value| value.eq_ignore_ascii_case("upgrade")));
}

#[test]
fn more_fields_than_there_may_be_are_431_on_both_listeners() {
    let backend = Backend::named("one");
    for front in [false, true] {
        let balancer = Balancer::start(config(&[&backend], json!({ "front": front })));
        // `Host` is one, too.
        for (fields, status) in [(255, 200), (256, 431)] {
            let mut client = balancer.connect();
            client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(fields)));
            let answer = client.read_response();
            assert_eq!(answer.status, status, "{fields} fields and Host, front {front}");
            let reason = Some("head_too_large").filter(|_| status == 431);
            assert_eq!(answer.header("x-lb-reason"), reason);
        }
        let mut client = balancer.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: {}\r\n\r\n", "a,".repeat(257)));
        assert_eq!(client.read_response().status, 431, "members of Connection, front {front}");
    }
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let (backend, balancer) = one();
    let ids = [0, 1].map(|_| balancer.get("/").header("x-request-id").unwrap().to_owned());
    assert_ne!(ids[0], ids[1]);
    assert_eq!(backend.wait_for(2).header("x-request-id"), Some(ids[1].as_str()));
}

#[test]
fn repeated_fields_stay_apart_and_in_order_towards_the_backend() {
    let (backend, balancer) = one();
    let fields = [("X-A", "1"), ("Cookie", "x"), ("x-a", "2, 3"), ("X-A", "1")];
    balancer.ask("GET", "/", &fields, b"");
    assert_eq!(backend.wait_for(1).all("x-a"), ["1", "2, 3", "1"]);
}

#[test]
fn the_client_sees_what_the_backend_said_and_the_id_alone() {
    let headers = [
        ("Set-Cookie", "a=1; Path=/"),
        ("Server", "mock"),
        ("Set-Cookie", "b=2"),
        ("Connection", "X-Private"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Set-Cookie", "a=3"),
    ];
    let (_backend, balancer) = answering(&headers, Framing::Length);
    let answer = balancer.get("/");
    assert_eq!(answer.all("set-cookie"), ["a=1; Path=/", "b=2", "a=3"]);
    let names = answer.names();
    let allowed = ["content-length", "date", "server", "set-cookie", "x-request-id"];
    assert!(names.iter().all(|name| allowed.contains(&name.as_str())), "{names:?}");
    assert_eq!(answer.all("server"), ["mock"]);
}

#[test]
fn a_request_that_comes_round_again_is_stopped() {
    let loops = Backend::that(Behaviour::Refuses);
    let listen = loops.address().to_string();
    let more = json!({ "listen": listen, "health_check": { "path": "/lb-health" } });
    let balancer = Balancer::start(config(&[&loops], more));
    let answer = balancer.get("/");
    assert_eq!(answer.status, 508);
    assert_eq!(answer.all("x-lb-reason"), ["loop_detected"]);
}

#[test]
fn without_via_a_loop_is_still_found() {
    let (seen, loops) = (Backend::named("seen"), Backend::that(Behaviour::Refuses));
    let listen = loops.address().to_string();
    let route = json!([{ "path": "/seen", "pool": "seen" }]);
    let pools = json!({ "seen": { "backends": [{ "url": seen.url() }], "health_check": { "type": "tcp" } } });
    let more = json!({ "via": false, "listen": listen, "health_check": { "path": "/lb-health" },
                       "pools": pools, "routes": route });
    let balancer = Balancer::start(config(&[&loops], more));
    assert_eq!(balancer.get("/").all("x-lb-reason"), ["loop_detected"]);
    balancer.get("/seen");
    let asked = seen.wait_for(1);
    assert_eq!(asked.header("via"), None);
    assert!(asked.header("x-lb-passed").unwrap().starts_with("lb-"));
}

#[test]
fn bodies_are_the_same_byte_for_byte_both_ways() {
    let body: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 253) as u8).collect();
    for framing in [Framing::Length, Framing::Chunked, Framing::UntilClose] {
        let answer = Answer { framing, ..Answer::ok(body.clone()) };
        let backend = Backend::that(Behaviour::Answers(answer));
        let balancer = Balancer::over(&[&backend]);
        let answer = balancer.ask("POST", "/", &[], &body);
        assert!(answer.body == body, "{framing:?} towards the client");
        assert!(backend.wait_for(1).body == body, "towards the backend");
    }
}

#[test]
fn a_chunked_body_arrives_whole() {
    let (backend, balancer) = one();
    let mut client = balancer.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5;ext=1\r\nfirst\r\n");
    client.send("7\r\n second\r\n0\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(backend.wait_for(1).body, b"first second");
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let (backend, balancer) = one();
    let mut client = balancer.connect();
    client.ask("POST", "/", &[("Expect", "100-continue"), ("Content-Length", "4")], b"");
    assert_eq!(client.read_response().status, 100);
    client.send("body");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(backend.wait_for(1).body, b"body");
    assert_eq!(backend.wait_for(1).header("expect"), None);
}

#[test]
fn a_post_without_a_body_says_so() {
    let (backend, balancer) = one();
    balancer.ask("POST", "/", &[("Content-Length", "0")], b"");
    balancer.ask("POST", "/", &[], b"");
    for number in [1, 2] {
        assert_eq!(backend.wait_for(number).all("content-length"), ["0"]);
        assert_eq!(backend.wait_for(number).header("transfer-encoding"), None);
    }
}

#[test]
fn an_answer_without_a_body_has_none() {
    let (_backend, balancer) = answering(&[], Framing::Length);
    let mut client = balancer.connect();
    client.ask("HEAD", "/", &[], b"");
    let head = client.read_response_to("HEAD");
    assert_eq!(head.all("content-length"), ["4"]);
    assert_eq!(client.get("/").text(), "body", "the connection is in step after HEAD");
}

#[test]
fn a_304_leaves_the_connection_in_step() {
    let answer = Answer { status: 304, ..Answer::ok("") };
    let backend = Backend::that(Behaviour::Answers(answer));
    let balancer = Balancer::over(&[&backend]);
    let mut client = balancer.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").status, 304);
    }
}

#[test]
fn an_http_1_0_client_is_never_sent_chunks() {
    let (_backend, balancer) = answering(&[], Framing::Chunked);
    let mut client = balancer.connect();
    client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    let answer = client.read_response();
    assert_eq!(answer.text(), "body");
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let (_backend, balancer) = one();
    let mut client = balancer.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nX-Request-ID: b\r\n\r\n");
    let ids = [0, 1].map(|_| client.read_response().header("x-request-id").unwrap().to_owned());
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn the_demo_s_own_backend_agrees() {
    let options = loadbalancer::demo::echo::EchoOptions { name: "echo".into(), ..Default::default() };
    let backend = Backend::that(Behaviour::Echo(options));
    backend.set_health(Health::Passes);
    let balancer = Balancer::over(&[&backend]);
    let page: Value = balancer.ask("PUT", "/p?q", &[("X-A", "1"), ("X-A", "2")], b"12345").json();
    assert_eq!(page["server"], "echo");
    assert_eq!(page["method"], "PUT");
    assert_eq!(page["path"], "/p?q");
    assert_eq!(page["body_bytes"], 5);
    assert_eq!(page["headers"]["x-a"], json!(["1", "2"]));
    assert_eq!(page["headers"]["host"], "example.com");
}
