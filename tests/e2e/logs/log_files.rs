//! Logs in files and in other formats: what tools of others read, and what logrotate does to them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Backend, Balancer, Client, Run, Signal, config, eventually, fields, let_pass, with_room,
};

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn line_with(path: &Path, text: &str) -> String {
    eventually(&format!("a line with {text} in {}", path.display()), || {
        lines(path).into_iter().find(|line| line.contains(text))
    })
}

#[test]
fn json_goes_to_files_and_numbers_are_numbers() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("one"));
    let path = |name: &str| folder.path().join(name);
    let log = |name: &str| json!({ "format": "json", "file": path(name) });
    let more = json!({ "access_log": log("access.log"), "event_log": log("events.log") });
    let balancer = Balancer::start_logging_to(&path("events.log"), &config(&[&backend], more));
    balancer.ask("GET", "/a?b=\"1\"", &[("X-Request-ID", "id-1")], b"");
    let line: Value = serde_json::from_str(&line_with(&path("access.log"), "id-1")).unwrap();
    assert_eq!((&line["method"], &line["path"]), (&json!("GET"), &json!("/a?b=\"1\"")));
    assert_eq!((&line["status"], &line["attempts"], &line["bytes"]), (&json!(200), &json!(1), &json!(3)));
    assert_eq!(
        (&line["pool"], &line["tls"], &line["reason"]),
        (&json!("default"), &Value::Null, &Value::Null)
    );
    let spans =
        ["queue_ms", "connect_ms", "backend_ms", "client_ms"].map(|name| line[name].as_f64().unwrap());
    let total = line["latency_ms"].as_f64().unwrap();
    assert!((spans.iter().sum::<f64>() - total).abs() < 0.01, "{line}");
    for line in lines(&path("events.log")) {
        let event: Value = serde_json::from_str(&line).expect(&line);
        humantime::parse_rfc3339(event["time"].as_str().unwrap()).expect(&line);
    }
}

#[test]
fn combined_is_what_nginx_writes() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("one"));
    let file = folder.path().join("access.log");
    let more = json!({ "access_log": { "format": "combined", "file": file } });
    let balancer = Balancer::start(config(&[&backend], more));
    let fields =
        [("User-Agent", "a \"b\""), ("Referer", "http://x/"), ("Authorization", "Basic YWRtaW46eA==")];
    balancer.ask("GET", "/a", &fields, b"");
    let line = line_with(&file, "/a");
    let (before, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(before, "127.0.0.1 - admin");
    assert!(time.ends_with(" +0000") && time.len() == "10/Oct/2000:13:55:36 +0000".len(), "{line}");
    assert_eq!(rest, r#""GET /a HTTP/1.1" 200 3 "http://x/" "a \x22b\x22""#);
}

#[test]
fn a_file_that_was_moved_is_made_anew_and_no_line_is_lost() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("one"));
    let path = |name: &str| folder.path().join(name);
    let more = json!({ "access_log": { "file": path("access.log") }, "timeouts": { "drain": "20s" } });
    let mut balancer = Balancer::start(config(&[&backend], more));
    balancer.get("/before");
    line_with(&path("access.log"), "/before");
    fs::rename(path("access.log"), path("access.log.1")).unwrap();
    balancer.get("/between");
    line_with(&path("access.log.1"), "/between");
    balancer.signal(Signal::USR1);
    balancer.wait_for_log("log files opened again");
    balancer.get("/after");
    line_with(&path("access.log"), "/after");
    assert_eq!((lines(&path("access.log")).len(), lines(&path("access.log.1")).len()), (1, 2));
    // Where it can't be made the old one is written on.
    fs::rename(path("access.log"), path("access.log.2")).unwrap();
    fs::create_dir(path("access.log")).unwrap();
    balancer.signal(Signal::USR1);
    balancer.wait_for_log("log files not opened again");
    balancer.get("/last");
    line_with(&path("access.log.2"), "/last");
    balancer.signal(Signal::TERM);
    assert!(balancer.wait_exit().success());
}

#[test]
fn a_signal_to_open_files_again_is_harmless_without_any_and_in_a_drain() {
    let backend = Backend::slow(Duration::from_secs(1));
    let mut balancer = Balancer::over(&[&backend]);
    balancer.signal(Signal::USR1);
    balancer.wait_for_log("log files opened again");
    let waiting = balancer.asking("/x");
    eventually("it is under way", || balancer.metrics()["active_requests"] == 1);
    balancer.signal(Signal::TERM);
    balancer.wait_for_log("draining");
    balancer.signal(Signal::USR1);
    eventually("it says so again", || balancer.log_lines_with("opened again").len() == 2);
    let mut waiting = waiting;
    assert_eq!(waiting.read_response().status, 200);
    assert!(balancer.wait_exit().success());
}

#[test]
fn a_reload_changes_where_lines_go_and_one_that_can_not_changes_nothing() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("one"));
    let path = |name: &str| folder.path().join(name);
    let with = |file: &Path| config(&[&backend], json!({ "access_log": { "file": file } }));
    let balancer = Balancer::start(with(&path("one.log")));
    balancer.get("/one");
    line_with(&path("one.log"), "/one");
    balancer.write_config(&with(&path("two.log")).to_string());
    balancer.wait_for_log("configuration reloaded");
    balancer.get("/two");
    line_with(&path("two.log"), "/two");
    balancer.write_config(&with(&path("none/three.log")).to_string());
    let line = balancer.wait_for_log("not reloaded");
    assert!(line.contains("access_log.file: ") && line.contains("no such folder"), "{line}");
    balancer.get("/three");
    line_with(&path("two.log"), "/three");
}

#[test]
fn a_file_that_can_not_be_written_is_a_mistake_of_check_and_start() {
    let config = json!({ "event_log": { "file": "/nowhere/at/all.log" } }).to_string();
    for run in [Run::of(["check", "-"]).input(&config), Run::of([]).arg("--config").file(&config)] {
        let finished = run.output();
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(finished.stderr.contains("event_log.file: /nowhere/at/all.log: "), "{}", finished.stderr);
    }
}

#[test]
fn own_pages_are_counted_and_not_logged_unless_somebody_wants_that() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    for path in ["/lb-health", "/lb-ready", "/lb-metrics", "/lb-dashboard"] {
        assert_eq!(balancer.get(path).status, 200, "{path}");
    }
    balancer.ask("POST", "/lb-health", &[], b"");
    balancer.get("/x");
    balancer.wait_for_access("/x");
    let refused = balancer.wait_for_access("/lb-health");
    assert!(refused.contains("reason=method_not_allowed"), "{refused}");
    assert_eq!(balancer.access_lines().len(), 2);
    assert!(balancer.metrics()["own_page_requests"].as_u64().unwrap() >= 4);
    let balancer = Balancer::start(config(&[&backend], json!({ "access_log": { "own_pages": true } })));
    balancer.get("/lb-health");
    balancer.wait_for_access("/lb-health");
}

/// What a line says of where the time went: queue, connect, backend, client.
fn spans(balancer: &Balancer, path: &str) -> [f64; 4] {
    let line = fields(&balancer.wait_for_access(path));
    ["queue_ms", "connect_ms", "backend_ms", "client_ms"]
        .map(|wanted| line.iter().find(|(name, _)| name == wanted).unwrap().1.parse().unwrap())
}

#[test]
fn a_slow_client_and_a_full_backend_are_told_apart_from_a_slow_one() {
    let pause = with_room(Duration::from_millis(300));
    let backend = Backend::slow(pause);
    let mut one_at_a_time = config(&[&backend], json!({}));
    one_at_a_time["backends"][0]["max_connections"] = json!(1);
    let balancer = Balancer::start(one_at_a_time);
    let mut first = balancer.asking("/first");
    eventually("it is under way", || balancer.metrics()["active_requests"] == 1);
    let mut second = balancer.asking("/second");
    assert_eq!((first.read_response().status, second.read_response().status), (200, 200));
    let slow = pause.as_secs_f64() * 1000.0 / 2.0;
    let [queue, _, backend_ms, client] = spans(&balancer, "/first");
    assert!(backend_ms > slow && queue < slow && client < slow);
    let [queue, _, _, client] = spans(&balancer, "/second");
    assert!(queue > slow && client < slow, "{queue}");

    let echo = Backend::named("echo");
    let balancer = Balancer::over(&[&echo]);
    let mut upload = Client::connect(balancer.address());
    upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    let_pass(pause);
    upload.send(vec![b'x'; 200_000]);
    assert_eq!(upload.read_response().status, 200);
    let [queue, connect, backend_ms, client] = spans(&balancer, "/upload");
    assert!(client > slow && queue < slow && connect < slow && backend_ms < slow, "{client} {backend_ms}");
}
