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
fn backends_that_nobody_is_to_ask_are_not_asked() {
    let (one, away) = (Backend::named("one"), Backend::that(Behaviour::Refuses));
    let pool = json!({ "backends": [{ "url": away.url() }], "health_check": { "type": "none" } });
    let more = json!({ "timeouts": { "backend_idle": "100ms" }, "pools": { "acme": pool } });
    let run = probe(config(&[&one], more));
    assert_eq!(run.code, Some(0), "{run:?}");
    let told = "pool acme is not probed: its health_check.type is \"none\"\n";
    assert!(run.stdout.starts_with(told) && run.stdout.ends_with("\n1 of 1 backends answer"), "{run:?}");
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

/// Warnings of a file with this text.
fn warnings(text: &str) -> Vec<String> {
    let run = Run::of(["check", "--quiet"]).file(text).output();
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    run.stderr.lines().filter(|line| !line.contains("open files")).map(str::to_owned).collect()
}

#[test]
fn what_looks_active_and_is_not_is_warned_of() {
    let api = r#""pools": { "api": { "backends": [ { "url": "http://a" } ] } }"#;
    let routes = r#""routes": [ { "path": "/v1", "pool": "api" } ]"#;
    let all = r#""routes": [ { "pool": "api" } ]"#;
    let own = r#""backends": [ { "url": "http://b" } ]"#;
    for (text, expected) in [
        ("{}".to_owned(), &[][..]),
        (r#"{ "rate_limit": { "burst": 5 } }"#.to_owned(), &["rate_limit limits nobody"]),
        (r#"{ "rate_limit": { "enabled": false, "burst": 5 } }"#.to_owned(), &[]),
        (format!("{{ {api}, {routes} }}"), &["backends is left out: requests that no route takes"]),
        (format!("{{ {api}, {routes}, {own} }}"), &[]),
        (format!("{{ {api}, {all} }}"), &[]),
        (format!("{{ {api}, {own} }}"), &["pools.api gets no requests"]),
        (
            format!(r#"{{ {api}, {own}, "routes": [ {{ "path": "/v1/*", "pool": "api" }} ] }}"#),
            &["routes[0].path \"/v1/*\" is for a path with a star"],
        ),
        (
            r#"{ "listen": "127.0.0.2:8080", "admin": { "listen": "127.0.0.1:8080" } }"#.to_owned(),
            &["admin.listen 127.0.0.1:8080 has the port of `listen`"],
        ),
    ] {
        let found = warnings(&text);
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(&format!("warning: {expected}")), "{found}");
        }
    }
}

#[test]
fn certificates_for_one_name_and_old_ones_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let pair = |file: &str, names: &[&str]| {
        let (certificate, private_key) = authority.issue(file, names);
        json!({ "certificate": certificate, "private_key": private_key })
    };
    let old = authority.issue_until("old", &["old.example"], (2020, 5, 6));
    let pairs = json!([
        pair("one", &["a.example"]),
        pair("two", &["b.example", "a.example"]),
        { "certificate": old.0, "private_key": old.1 },
    ]);
    let found = warnings(&json!({ "tls": { "certificates": pairs } }).to_string());
    let expected = "warning: tls.certificates[1] is for a.example, and so is tls.certificates[0]";
    assert!(found.len() == 2 && found[0].starts_with(expected), "{found:?}");
    assert!(found[1].contains("old.pem has expired, at 2020-05-06T00:00:00Z"), "{found:?}");
}

#[test]
fn files_are_looked_for_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new(folder.path()).issue("own", &["a.example"]);
    let tls = json!({ "certificates": [{ "certificate": "own.pem", "private_key": "own.key" }] });
    let backends = json!([{ "url": "https://localhost:1", "ca": "ca.pem" }]);
    let path = folder.path().join("lb.json");
    std::fs::write(&path, json!({ "tls": tls, "backends": backends }).to_string()).unwrap();
    let run = Run::of(["check"]).arg(&path).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    let page: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = folder.path().join("own.pem").display().to_string();
    assert_eq!(page["tls"]["certificates"][0]["certificate"], expected);
}

/// With mistakes in fields and in the files that it names.
fn all_wrong(folder: &std::path::Path) -> String {
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    let pairs =
        json!([{ "certificate": "empty.pem", "private_key": "none.key" }, { "certificate": "none.pem" }]);
    let backends = json!([{ "url": "https://localhost:1", "ca": "empty.pem" }, { "url": 5 }]);
    json!({ "workers": 0, "tls": { "certificates": pairs }, "backends": backends }).to_string()
}

#[test]
fn mistakes_in_fields_and_in_files_are_told_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lb.json");
    let text = all_wrong(folder.path());
    std::fs::write(&path, &text).unwrap();
    for words in ["check", "--config"] {
        let run = Run::of([words]).arg(&path).output();
        assert_eq!(run.code, Some(2), "{run:?}");
        let fields = [
            "workers: 0 is not",
            "backends[1].url: found the number 5",
            "tls.certificates[1].private_key: missing",
            "backends[0].ca: ",
            "tls.certificates[0].certificate: ",
            "tls.certificates[0].private_key: ",
            "tls.certificates[1].certificate: ",
        ];
        assert_eq!(run.stderr.lines().count(), fields.len(), "{run:?}");
        for field in fields {
            assert_eq!(run.stderr.matches(field).count(), 1, "{field}: {run:?}");
        }
        let file = folder.path().join("empty.pem").display().to_string();
        assert_eq!(run.stderr.matches(&file).count(), 2, "{run:?}");
    }
    let (good, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    let more = json!({ "tls": Authority::new(good.path()).listener() });
    let balancer = Balancer::start(config(&[&backend], more));
    balancer.write_config(&text);
    balancer.wait_for_log("workers: 0 is not");
    balancer.wait_for_log("backends[0].ca: ");
}

#[test]
fn quiet_and_probe_together_say_only_what_is_wrong() {
    let (good, refusing) = (Backend::named("a"), Backend::that(Behaviour::Refuses));
    let with = |url: &str| {
        let limits = json!({ "max_connections": 10 });
        let mut config = at(url, "1ms");
        config["limits"] = limits;
        Run::of(["check", "--quiet", "--probe"]).file(&config.to_string()).output()
    };
    let run = with(&good.url());
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
    let run = with(&refusing.url());
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stdout.contains("  connects  no: connection refused"), "{run:?}");
}

#[test]
fn files_that_a_piped_configuration_names_are_looked_for_in_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new(folder.path()).issue("own", &["a.example"]);
    let tls = json!({ "certificates": [{ "certificate": "own.pem", "private_key": "own.key" }] });
    let text = json!({ "tls": tls, "limits": { "max_connections": 10 } }).to_string();
    let expected = folder.path().canonicalize().unwrap().join("own.pem").display().to_string();
    for script in [
        "printf %s \"$1\" | \"$0\" check -",
        "\"$0\" check <(printf %s \"$1\")",
        "\"$0\" check /dev/stdin <<< \"$1\"",
        "printf %s \"$1\" > lb.json; \"$0\" check /dev/stdin < lb.json",
    ] {
        let mut command = std::process::Command::new("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_loadbalancer"), &text]).current_dir(folder.path());
        let run = crate::support::Process::spawn(command).finish();
        assert_eq!(run.code, Some(0), "{script}: {run:?}");
        let page: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(page["tls"]["certificates"][0]["certificate"], expected, "{script}");
    }
}

#[test]
fn the_last_line_says_ok_and_quiet_says_nothing() {
    let text = r#"{ "workers": 3, "limits": { "max_connections": 10 } }"#;
    let run = Run::of(["check"]).file(text).output();
    assert!(run.code == Some(0) && run.stderr.ends_with("config.json: ok"), "{run:?}");
    let page: Value = serde_json::from_str(&run.stdout).expect("standard output is JSON and nothing else");
    assert_eq!(page["workers"], 3);
    let quiet = Run::of(["check", "-q"]).file(text).output();
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    let warned =
        Run::of(["check"]).file(r#"{ "rate_limit": { "burst": 5 }, "limits": { "max_connections": 10 } }"#);
    assert!(warned.output().stderr.ends_with("config.json: ok, with 1 warning"));
    let wrong = Run::of(["check", "--quiet"]).file(r#"{ "workers": 0 }"#).output();
    assert!(wrong.code == Some(2) && wrong.stderr.contains("workers: 0 is not"), "{wrong:?}");
    assert!(!wrong.stderr.contains("ok"), "{wrong:?}");
}

#[test]
fn standard_input_can_be_checked() {
    let run =
        Run::of(["check", "-"]).input(r#"{ "workers": 3, "limits": { "max_connections": 10 } }"#).output();
    assert!(run.code == Some(0) && run.stdout.contains("\"workers\": 3"), "{run:?}");
    let run = Run::of(["check", "-"]).input("{\n  // three\n  \"workers\": 3\n}").output();
    let expected = "standard input:2: not valid JSON: a comment, and JSON has none; leave it out (column 3)";
    assert_eq!((run.code, run.stderr.as_str()), (Some(2), expected));
}

#[test]
fn a_name_is_suggested_only_where_one_is_near() {
    let mistakes = |text: &str| Run::of(["check"]).file(text).output().stderr;
    assert!(mistakes(r#"{ "wrokers": 3 }"#).ends_with("unknown field; the nearest known one is \"workers\""));
    let far = mistakes(r#"{ "limits": { "zzz": 3 } }"#);
    assert!(far.contains("limits.zzz: unknown field; known ones are max_body_bytes, "), "{far}");
}
