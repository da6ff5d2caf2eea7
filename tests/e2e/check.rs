//! `loadbalancer check`: warnings of consequences, and `--probe`, which asks the backends.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Authority, Backend, Balancer, Behaviour, Finished, Health, Run, config};

fn check(config: Value) -> Finished {
    Run::of(["check"]).file(&config.to_string()).output()
}

fn probe(config: Value) -> Finished {
    Run::of(["check", "--probe"]).file(&config.to_string()).output()
}

/// A backend at this URL, and idle connections watched no longer than they have to be.
fn at(url: &str, backend_idle: &str) -> Value {
    json!({ "backends": [{ "url": url }], "timeouts": { "backend_idle": backend_idle } })
}

#[test]
fn consequences_are_warned_of_and_no_failure() {
    let run = check(json!({
        "listen": "127.0.0.1:8080",
        "backends": [{ "url": "http://127.0.0.1:8080" }],
        "health_check": { "interval": "1s" },
        "trusted_proxies": ["0.0.0.0/0"],
        "limits": { "max_connections": 1_000_000 },
    }));
    assert_eq!(run.code, Some(0), "{run:?}");
    for field in ["health_check.interval", "trusted_proxies", "backends[0].url"] {
        let is_its = |line: &&str| line.starts_with("warning: ") && line.contains(field);
        assert_eq!(run.stderr.lines().filter(is_its).count(), 1, "{field}: {run:?}");
    }
    let page: Value = serde_json::from_str(&run.stdout).expect("JSON all the same");
    assert_eq!(page["health_check"]["interval"], "1s");
}

#[test]
fn too_few_open_files_are_warned_of() {
    let run = Run::of(["check"]).open_files(200).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("warning: limits.max_connections 4096 is more than"), "{run:?}");
}

#[test]
fn backends_that_answer_are_described() {
    let backends = ["a", "b"].map(Backend::named);
    let mut config = config(&backends.each_ref(), json!({ "timeouts": { "backend_idle": "100ms" } }));
    config["pools"] = json!({ "api": { "backends": [{ "url": backends[0].url() }] } });
    let run = probe(config);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with(&format!("{}\n  resolves  127.0.0.1\n  connects  ", backends[0].url())));
    assert!(run.stdout.contains(&format!("{} (pool api)\n", backends[0].url())), "{run:?}");
    assert_eq!(run.stdout.matches("  health    GET /health: 200 in ").count(), 3, "{run:?}");
    assert_eq!(
        run.stdout.matches("  idle      keeps connections for 1.1 s and longer").count(),
        3,
        "{run:?}"
    );
    assert!(run.stdout.ends_with("3 of 3 backends answer"), "{run:?}");
}

#[test]
fn a_backend_that_does_not_answer_fails_and_says_why() {
    let (good, refusing, ill) =
        (Backend::named("a"), Backend::that(Behaviour::Refuses), Backend::named("ill"));
    ill.set_health(Health::Fails);
    let more = json!({ "timeouts": { "backend_idle": "1ms" } });
    let mut config = config(&[&good, &refusing, &ill], more);
    config["backends"].as_array_mut().unwrap().push(json!({ "url": "http://no-such-name.invalid" }));
    let run = probe(config);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("  connects  no: connection refused"), "{run:?}");
    assert!(run.stdout.contains("GET /health: no: 503, and 200-399 is expected"), "{run:?}");
    assert!(run.stdout.contains("invalid\n  resolves  no: "), "{run:?}");
    assert!(run.stdout.ends_with("1 of 4 backends answer"), "{run:?}");
}

/// Answers requests, and closes a connection that is idle for so long.
fn impatient(idle: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move |stream: TcpStream| {
        stream.set_read_timeout(Some(idle)).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.is_empty() {
                let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    };
    thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| _ = thread::spawn(move || serve(stream)))
    });
    url
}

#[test]
fn a_backend_that_closes_idle_connections_sooner_than_we_do_is_warned_of() {
    let url = impatient(Duration::from_secs(1));
    let run = probe(at(&url, "4s"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("  idle      closes after 1."), "{run:?}");
    assert!(run.stdout.contains("  warning   backend_idle 4s is more than 80 % of the 1."), "{run:?}");
    let run = probe(at(&url, "500ms"));
    assert!(run.stdout.contains("closes after 1.") && !run.stdout.contains("warning"), "{run:?}");
}

#[test]
fn https_is_verified_and_a_backend_behind_a_socket_is_asked_there() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (certificate, key) = authority.issue("localhost", &["localhost"]);
    let backend = Backend::named("a");
    let tls = json!({ "listen": "127.0.0.1:0",
        "certificates": [{ "certificate": certificate, "private_key": key }] });
    let balancer = Balancer::start(config(&[&backend], json!({ "tls": tls })));
    let line = balancer.wait_for_log("as=tls");
    let port = line.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    let mut file = at(&url, "1ms");
    file["health_check"] = json!({ "path": "/lb-health" });
    let run = probe(file.clone());
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("invalid peer certificate"), "{run:?}");
    file["backends"][0]["ca"] = json!(authority.file());
    let run = probe(file);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("GET /lb-health: 200 in "), "{run:?}");

    let run = probe(at(&format!("unix:{}/none.sock", folder.path().display()), "1ms"));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains(".sock\n  connects  no: No such file"), "{run:?}");
}
