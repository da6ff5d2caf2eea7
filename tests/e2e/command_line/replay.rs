//! `loadbalancer replay`: a recorded log through the code that chooses backends.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Backend, Balancer, Finished, Run, config, eventually};

/// Requests of a recording, and the clients that they come from in turn.
const REQUESTS: usize = 60;
const CLIENTS: usize = 20;

/// What a balancer with `ip_hash` logged of some clients, its configuration, and a folder to put both in.
struct Recording {
    folder: TempDir,
    _backends: [Backend; 3],
    urls: Vec<String>,
}

impl Recording {
    fn new() -> Recording {
        let backends = ["a", "b", "c"].map(Backend::named);
        let config = config(
            &backends.each_ref(),
            json!({ "algorithm": "ip_hash", "access_log": { "own_pages": true } }),
        );
        let balancer = Balancer::start(config.clone());
        for number in 0..REQUESTS {
            balancer.get_for(&format!("192.0.2.{}", number % CLIENTS), "/recorded");
        }
        balancer.metrics();
        let lines = eventually("all access lines", || {
            Some(balancer.access_lines()).filter(|lines| lines.len() > REQUESTS)
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), lines.join("\n")).unwrap();
        std::fs::write(folder.path().join("config"), config.to_string()).unwrap();
        let urls = backends.iter().map(Backend::url).collect();
        Recording { folder, _backends: backends, urls }
    }

    fn replayed<const N: usize>(&self, arguments: [&str; N]) -> Finished {
        let mut run = Run::of(["replay", "--config"]).arg(self.folder.path().join("config"));
        for argument in arguments {
            run = run.arg(argument);
        }
        run.arg(self.folder.path().join("log")).output()
    }
}

/// The numbers in the line of this backend.
fn row(run: &Finished, url: &str) -> (u64, u64) {
    let line = run.stdout.lines().find(|line| line.contains(url)).expect("a line of the backend");
    let (_, after) = line.split_once(url).unwrap();
    let words: Vec<&str> = after.split_whitespace().collect();
    (words[0].parse().unwrap(), words[3].parse().unwrap())
}

#[test]
fn what_was_recorded_comes_out_the_same_with_the_same_configuration() {
    let recording = Recording::new();
    let run = recording.replayed([]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with(&format!("{REQUESTS} requests of {CLIENTS} clients")), "{run:?}");
    assert!(
        run.stdout.contains("left out: 1 line of something else"),
        "the metrics page is no request: {run:?}"
    );
    assert!(run.stdout.contains(&format!("0 of {CLIENTS} clients (0.0 %) would move")), "{run:?}");
    let total: u64 = recording.urls.iter().map(|url| row(&run, url).0).sum();
    assert_eq!(total, REQUESTS as u64);
    assert_eq!(run.stderr.trim(), format!("note: taken for ours ({REQUESTS} lines)"));
}

#[test]
fn every_algorithm_and_without_a_backend() {
    let recording = Recording::new();
    let run = recording.replayed(["--algorithm", "all", "--without", &recording.urls[1]]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for algorithm in ["round_robin", "least_conn", "ip_hash", "power_of_two", "consistent_hash"] {
        assert!(run.stdout.contains(algorithm), "{algorithm}: {run:?}");
    }
    assert!(!run.stdout.contains(&recording.urls[1]), "{run:?}");
    assert_eq!(row(&run, &recording.urls[0]).0, REQUESTS as u64 / 2, "round_robin comes first");
    assert_eq!(run.stdout.matches("would move, compared with all backends").count(), 2, "{run:?}");
}

/// Ten a second for ten seconds, each a quarter of a second long.
fn combined() -> String {
    let line = |number: usize| {
        let (second, client) = (number / 10, number % 7);
        format!(
            "10.0.0.{client} - - [01/May/2026:10:00:{second:02} +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"curl/8\" 0.250\n"
        )
    };
    (0..100).map(line).collect()
}

#[test]
fn the_combined_format_on_standard_input() {
    let run = Run::of(["replay", "-", "--algorithm", "least_conn"]).input(&combined()).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("100 requests of 7 clients"), "{run:?}");
    let rows: Vec<_> = (3001..=3003).map(|port| row(&run, &format!("http://localhost:{port}"))).collect();
    assert_eq!(rows.iter().map(|(requests, _)| requests).sum::<u64>(), 100);
    // A quarter of ten a second: two or three at once, and three backends.
    assert!(rows.iter().all(|(_, peak)| *peak == 1), "{rows:?}");
}

#[test]
fn lines_that_can_not_be_read_are_named_and_counted() {
    let text = format!("nonsense\n{}{}", combined(), "example.com - - x\n".repeat(7));
    let run = Run::of(["replay", "-"]).input(&text).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("line 1: neither our format nor the combined one"), "{run:?}");
    assert!(run.stderr.contains("line 102: a client that is no address (and 6 more lines)"), "{run:?}");
    assert!(run.stdout.contains("0 lines of something else, 8 that can't be read"), "{run:?}");
}

#[test]
fn a_log_without_a_request_fails_and_a_question_without_sense_is_a_usage_error() {
    let run = Run::of(["replay", "-"]).input("nonsense\n").output();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("no request"), "{run:?}");
    let run = Run::of(["replay", "/no/such/log"]).output();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("/no/such/log"), "{run:?}");
    for (flag, value, word) in
        [("--algorithm", "best", "round_robin"), ("--without", "http://x", "http://localhost:3001")]
    {
        let run = Run::of(["replay", "-", flag, value]).output();
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(flag) && run.stderr.contains(word), "{run:?}");
    }
}

#[test]
fn a_long_log_says_how_far_it_is() {
    let mut text = String::new();
    let agent = "x".repeat(16 << 10);
    while text.len() < 17 << 20 {
        text.push_str(&combined().lines().next().unwrap().replace("curl/8", &agent));
        text.push('\n');
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), &text).unwrap();
    let run = Run::of(["replay"]).arg(folder.path().join("log")).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        lines[..10],
        ["10 %", "20 %", "30 %", "40 %", "50 %", "60 %", "70 %", "80 %", "90 %", "100 %"]
    );
    assert!(lines[10].starts_with("replayed in "), "{run:?}");
}

/// Logs that other programs wrote, on valid and on invalid requests.
fn log_of(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/replay").join(name)
}

fn theirs(name: &str, config: &str) -> Finished {
    Run::of(["replay"]).arg(log_of(name)).arg("--config").file(config).output()
}

#[test]
fn logs_of_others_are_read_and_what_their_server_refused_is_left_out() {
    for (name, requests, left_out) in [
        ("nginx_main.log", 94, 12),
        ("nginx_request_time.log", 94, 12),
        ("apache_combined.log", 96, 10),
        ("apache_vhost_combined.log", 96, 10),
        ("traefik.log", 99, 0),
        ("traefik_json.log", 98, 2),
        ("caddy.log", 100, 28),
        ("haproxy.log", 97, 12),
        ("haproxy_rsyslog.log", 97, 12),
        ("aws_alb.log", 4, 1),
    ] {
        let run = theirs(name, "{}");
        assert_eq!(run.code, Some(0), "{name}: {run:?}");
        assert!(run.stdout.starts_with(&format!("{requests} requests of ")), "{name}: {run:?}");
        let lines = if left_out == 1 { "line" } else { "lines" };
        let said = format!("left out: {left_out} {lines} of something else, 0 that can't be read");
        assert!(left_out == 0 || run.stdout.contains(&said), "{name}: {run:?}");
        let has_none = name.starts_with("apache") || name == "nginx_main.log";
        let said = format!("note: {requests} requests without a latency");
        assert_eq!(run.stderr.contains(&said), has_none, "{name}: {run:?}");
    }
}

#[test]
fn a_proxy_before_the_log_s_server_is_the_client_only_where_it_is_not_trusted() {
    let run = theirs("nginx_main.log", "{}");
    assert!(run.stderr.contains("X-Forwarded-For of 1 request does not count"), "{run:?}");
    assert!(run.stdout.starts_with("94 requests of 10 clients"), "{run:?}");
    let run = theirs("nginx_main.log", r#"{ "trusted_proxies": ["192.0.2.0/24"] }"#);
    assert!(!run.stderr.contains("X-Forwarded-For"), "{run:?}");
    assert!(run.stdout.starts_with("94 requests of 11 clients"), "{run:?}");
}

#[test]
fn it_says_what_a_log_was_taken_for_and_what_could_not_be_used() {
    for (name, word) in [
        ("haproxy.log", "taken for HAProxy's httplog (97 lines)"),
        ("caddy.log", "taken for Caddy's (100 lines)"),
        ("traefik_json.log", "taken for Traefik's (JSON) (98 lines)"),
        ("nginx_main.log", "taken for combined (94 lines)"),
        ("envoy.log", "its log names no client"),
    ] {
        let run = theirs(name, "{}");
        assert_eq!(run.stderr.matches(word).count(), 1, "{name}: {run:?}");
    }
}

#[test]
fn several_logs_are_one_and_may_be_compressed() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log.1.gz");
    let log = std::fs::read(log_of("nginx_main.log")).unwrap();
    let mut encoder =
        flate2::write::GzEncoder::new(std::fs::File::create(&file).unwrap(), flate2::Compression::fast());
    encoder.write_all(&log).unwrap();
    encoder.finish().unwrap();
    let run = Run::of(["replay"]).arg(&file).arg(log_of("nginx_main.log")).output();
    assert!(run.stdout.starts_with("188 requests of 10 clients"), "{run:?}");
}

/// Each request goes to the pool of its route, as far as the log has its host.
#[test]
fn routes_find_the_pools_of_what_a_log_has_the_host_of() {
    let config = json!({
        "unmatched": 404,
        "pools": {
            "app": { "backends": [{ "url": "http://a" }, { "url": "http://b" }] },
            "slow": { "algorithm": "least_conn", "backends": [{ "url": "http://c" }] },
        },
        "routes": [
            { "host": "www.example.com", "pool": "app" },
            { "host": "www.example.com", "path": "/slow", "pool": "slow" },
            { "host": "api.example.com", "respond": { "status": 200 } },
        ],
    });
    for name in ["caddy.log", "traefik_json.log"] {
        let run = theirs(name, &config.to_string());
        assert_eq!(run.code, Some(0), "{name}: {run:?}");
        let count = |url: &str| row(&run, url).0;
        assert!(count("slow: http://c") > 0 && count("app: http://a") > 0, "{name}: {run:?}");
        assert!(count("app: http://a").abs_diff(count("app: http://b")) <= 1, "{name}: {run:?}");
        assert!(run.stdout.contains("least_conn"), "{name}: {run:?}");
    }
    // One names its host in the target.
    let run = theirs("nginx_main.log", &config.to_string());
    assert!(run.stdout.starts_with("1 request of 1 client"), "{run:?}");
    assert!(run.stdout.contains("93 requests answered by the balancer itself"), "{run:?}");
    assert!(run.stderr.contains("94 requests without a host"), "{run:?}");
}

#[test]
fn the_word_that_is_the_time_can_be_named() {
    let log = "192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\" 2500\n";
    let run = Run::of(["replay", "-"]).arg("--time-field").arg("-1:us:begin").input(log).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stderr.contains("without a latency"), "{run:?}");
    let run = Run::of(["replay", "-"]).arg("--time-field").arg("last").input(log).output();
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("write one such as -1:us"), "{run:?}");
}
