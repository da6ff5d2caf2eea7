//! `Date`: every answer has one, whoever gave it (RFC 9110 section 6.6.1), and a backend's own is passed on.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::support::{Admin, Answer, Backend, Behaviour, Client, Response, config};

/// One `Date` of the standard's form, of about now.
#[track_caller]
fn assert_is_now(answer: &Response) {
    let dates = answer.all("date");
    assert_eq!(dates.len(), 1, "{answer:?}");
    let date = httpdate::parse_http_date(dates[0]).expect("the standard's form");
    let now = SystemTime::now();
    let far = now.duration_since(date).unwrap_or_else(|error| error.duration());
    assert!(far < Duration::from_secs(60), "{dates:?}");
}

#[test]
fn answers_of_our_own_and_those_that_lack_it_have_a_date() {
    let backend = Backend::named("one");
    let admin = Admin::over(config(
        &[&backend],
        json!({ "admin": { "listen": "127.0.0.1:0" }, "limits": { "max_body_bytes": 1, "max_header_bytes": "1KiB" } }),
    ));
    let balancer = &admin.balancer;
    assert_is_now(&balancer.get("/"));
    assert_is_now(&balancer.ask("HEAD", "/", &[], b""));
    for path in ["/lb-metrics", "/lb-health", "/lb-ready", "/lb-dashboard"] {
        assert_is_now(&balancer.get(path));
    }
    assert_is_now(&balancer.ask("POST", "/", &[], b"too long"));
    assert_is_now(&admin.ask("GET", "/backends", &[]));
    assert_is_now(&admin.ask("GET", "/nothing", &[]));
    let refused = balancer.ask("GET", "/", &[("X-A", &"x".repeat(2000))], b"");
    assert_eq!(refused.status, 431);
    assert_is_now(&refused);
    let mut client = Client::connect(balancer.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let refused = client.read_response();
    assert_eq!(refused.status, 400);
    assert_is_now(&refused);
}

#[test]
fn a_backend_s_date_is_passed_on_as_it_is() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let answer = Answer { headers: vec![("date", date)], ..Answer::ok("old") };
    let backend = Backend::that(Behaviour::Answers(answer));
    let balancer = crate::support::Balancer::over(&[&backend]);
    assert_eq!(balancer.get("/").all("date"), [date]);
}
