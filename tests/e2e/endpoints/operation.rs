//! What `/lb-metrics` says of the process itself, in both forms, and that the page about it is complete.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{Answer, Authority, Backend, Balancer, Behaviour, Signal, config, eventually};

fn prometheus(balancer: &Balancer) -> String {
    balancer.get("/lb-metrics?format=prometheus").text().to_owned()
}

/// The value of the sample with this name and these labels.
#[track_caller]
fn sample(page: &str, name: &str) -> f64 {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

fn time(value: &Value) -> f64 {
    seconds(humantime::parse_rfc3339(value.as_str().unwrap()).unwrap())
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn a_reload_that_fails_is_seen_until_one_succeeds() {
    const SUCCESSFUL: &str = "loadbalancer_config_last_reload_successful";
    const LOADED: &str = "loadbalancer_config_last_reload_success_timestamp_seconds";
    let backend = Backend::named("one");
    let before = seconds(SystemTime::now());
    let balancer = Balancer::over(&[&backend]);
    let page = prometheus(&balancer);
    let first = sample(&page, LOADED);
    assert_eq!(sample(&page, SUCCESSFUL), 1.0);
    assert!((before..=seconds(SystemTime::now())).contains(&first), "{first}");
    let hash = || balancer.metrics()["configuration"]["hash"].clone();
    let first_hash = hash();
    assert!(page.contains(&format!("loadbalancer_config_info{{hash={first_hash}}} 1")), "{page}");

    balancer.write_config(r#"{ "workers": -1 }"#);
    eventually("it failed", || sample(&prometheus(&balancer), SUCCESSFUL) == 0.0);
    assert_eq!(sample(&prometheus(&balancer), LOADED), first, "that one is in force still");
    let told = balancer.metrics()["configuration"].clone();
    assert_eq!((&told["last_reload_succeeded"], &told["hash"]), (&json!(false), &first_hash));
    assert!(told["mistakes"].as_str().unwrap().contains("workers"), "{told}");
    assert!(time(&told["last_reload"]) > time(&told["loaded"]), "{told}");

    balancer.write_config(&config(&[&backend], json!({ "slow_start": "1s" })).to_string());
    eventually("it succeeded", || sample(&prometheus(&balancer), SUCCESSFUL) == 1.0);
    assert!(sample(&prometheus(&balancer), LOADED) > first);
    assert_eq!(balancer.metrics()["configuration"]["mistakes"], Value::Null);
    assert_ne!(hash(), first_hash);
}

#[test]
fn a_secret_is_not_in_the_hash_and_the_same_file_has_the_same() {
    let backend = Backend::named("one");
    let hash = |more: Value| {
        let balancer = Balancer::start(config(&[&backend], more));
        balancer.metrics()["configuration"]["hash"].as_str().unwrap().to_owned()
    };
    let key = |key: &str| json!({ "sticky_key": key });
    assert_eq!(hash(key("0123456789abcdef")), hash(key("fedcba9876543210")));
    assert_ne!(hash(key("0123456789abcdef")), hash(json!({})));
}

#[test]
fn busy_workers_stand_beside_how_many_there_are() {
    let held = Backend::that(Behaviour::Holds(Answer::ok("held")));
    let limits = json!({ "max_queue": 7, "max_streams": 5, "max_connections": 90 });
    let balancer = Balancer::start(config(&[&held], json!({ "workers": 4, "limits": limits })));
    let mut clients: Vec<_> = (0..3).map(|_| balancer.asking("/")).collect();
    held.wait_for_heads(3);
    balancer.metrics_when("busy_workers", 3);
    let page = prometheus(&balancer);
    for (name, value) in [
        ("loadbalancer_workers_busy", 3.0),
        ("loadbalancer_workers", 4.0),
        ("loadbalancer_queue_limit", 7.0),
        ("loadbalancer_streams_limit", 5.0),
        ("loadbalancer_client_connections_limit", 90.0),
    ] {
        assert_eq!(sample(&page, name), value, "{name}");
    }
    let json = balancer.metrics();
    assert_eq!((&json["workers"], &json["limits"]), (&json!(4), &limits));
    held.release();
    clients.iter_mut().for_each(|client| assert_eq!(client.read_response().text(), "held"));
    balancer.metrics_when("busy_workers", 0);
}

#[test]
fn the_end_of_certificates_is_told_and_follows_a_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, backend) = (Authority::new(folder.path()), Backend::named("one"));
    let (file, key) = authority.issue_until("own", &["a.example"], (2031, 5, 6));
    let tls =
        json!({ "listen": "127.0.0.1:0", "certificates": [{ "certificate": file, "private_key": key }] });
    let balancer = Balancer::start(config(&[&backend], json!({ "tls": tls })));
    let name = format!("loadbalancer_certificate_expiry_timestamp_seconds{{certificate=\"{file}\"}}");
    let day = |text: &str| seconds(humantime::parse_rfc3339(text).unwrap());
    assert_eq!(sample(&prometheus(&balancer), &name), day("2031-05-06T00:00:00Z"));
    assert_eq!(balancer.metrics()["certificates"][0]["file"], file);
    authority.issue_until("own", &["a.example"], (2032, 5, 6));
    balancer.signal(Signal::HUP);
    eventually("the new one is told", || {
        sample(&prometheus(&balancer), &name) == day("2032-05-06T00:00:00Z")
    });
}

#[test]
fn the_process_is_told_by_the_names_that_all_programs_have() {
    let backend = Backend::named("one");
    let before = seconds(SystemTime::now());
    let mut balancer = Balancer::over(&[&backend]);
    let page = prometheus(&balancer);
    let start = sample(&page, "process_start_time_seconds");
    assert!((before..=seconds(SystemTime::now())).contains(&start), "{start}");
    let resident = balancer.process().memory("VmRSS") as f64;
    let told = sample(&page, "process_resident_memory_bytes");
    assert!((resident / 2.0..=resident * 2.0).contains(&told), "{told} of {resident}");
    let fds = balancer.process().descriptors() as f64;
    assert!((sample(&page, "process_open_fds") - fds).abs() <= 5.0, "{fds}");
    assert!(sample(&page, "process_max_fds") >= fds);
    let cpu = sample(&page, "process_cpu_seconds_total");
    assert!(Duration::from_secs_f64(cpu) <= balancer.process().processor_time(), "{cpu}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(page.contains(&format!("loadbalancer_build_info{{version=\"{version}\"}} 1\n")), "{page}");
    assert_eq!(balancer.metrics()["version"], version);
}

/// The words in the README's table, those of the admin listener aside.
#[test]
fn every_reason_starts_at_zero() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let (page, readme) = (prometheus(&balancer), read("README.md"));
    let (_, section) = readme.split_once("## The balancer's own answers").unwrap();
    let (section, _) = section.split_once("The admin listener has words of its own").unwrap();
    let is_word =
        |word: &&str| word.contains('_') && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
    let in_rows = section.lines().filter_map(|line| line.split('|').nth(2));
    let (_, beside) = section.split_once("Some words are only in the log and the metrics").unwrap();
    let words: Vec<_> = in_rows.chain([beside]).collect();
    let words: Vec<&str> = words.iter().flat_map(|text| text.split('`')).filter(is_word).collect();
    assert!(words.len() > 20, "{words:?}");
    for word in words {
        assert_eq!(sample(&page, &format!("loadbalancer_refusals_total{{reason=\"{word}\"}}")), 0.0);
    }
    assert_eq!(balancer.metrics()["reasons"], json!({}), "people are shown what has happened");
}

#[test]
fn the_page_about_metrics_has_each_of_them_and_no_others() {
    let (backend, down) = (Backend::named("one"), Backend::that(Behaviour::Refuses));
    let balancer = Balancer::over(&[&backend, &down]);
    balancer.wait_for_states(&["healthy", "unhealthy"]);
    let (page, docs) = (prometheus(&balancer), read("docs/METRICS.md"));
    let names: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 30, "{names:?}");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let told: Vec<&str> = docs.split(|c| !is_name(c)).collect();
    for name in &names {
        assert!(told.contains(name), "{name} is not in docs/METRICS.md");
    }
    for name in told.iter().filter(|it| it.starts_with("loadbalancer_") || it.starts_with("process_")) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(names.contains(name) || base.is_some_and(|it| names.contains(&it)), "there is no {name}");
    }
}
