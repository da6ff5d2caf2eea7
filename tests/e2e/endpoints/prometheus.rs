//! What is shipped for Prometheus and Grafana: names that exist, rules that promtool accepts and tests, and a real
//! Prometheus that scrapes a balancer until each of the six alerts has fired.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Answer, Authority, Backend, Balancer, Behaviour, Client, Process, config, eventually, skip,
};

const RULES: &str = "packaging/prometheus/loadbalancer.rules.yml";
const RULE_TESTS: &str = "packaging/prometheus/loadbalancer.rules.test.yml";
const DASHBOARD: &str = "packaging/grafana/loadbalancer.json";
const ALERTS: [&str; 6] = [
    "ApplicationAnswersWith5xx",
    "BackendDown",
    "BalancersDiffer",
    "LoadBalancerFailsRequests",
    "RestartWouldHurt",
    "WorkersNearlyAllBusy",
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// A program of Prometheus'; where it is not here, that is said.
fn program(name: &str) -> Option<PathBuf> {
    let own = path("target/prometheus/usr/bin").join(name);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).map(|folder| folder.join(name)).find(|it| it.is_file());
    let found = found.or_else(|| Some(own).filter(|it| it.is_file()));
    if found.is_none() {
        skip(&format!("no {name}; tests/prometheus/install gets it"));
    }
    found
}

/// Words that begin as our metrics do.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("loadbalancer_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// Each query of the dashboard, as Grafana would send it.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    let queries = targets.flatten().map(|target| target["expr"].as_str().unwrap());
    let variables = [("$__rate_interval", "1m"), ("$instance", ".*"), ("$pool", ".*"), ("$job", ".*")];
    queries
        .map(|query| variables.iter().fold(query.to_owned(), |all, (name, value)| all.replace(name, value)))
        .collect()
}

#[test]
fn dashboard_and_rules_use_only_names_that_exist() {
    let balancer = Balancer::over(&[&Backend::named("one")]);
    let page = balancer.get("/lb-metrics?format=prometheus");
    let kinds = page.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut known = BTreeSet::new();
    for (name, kind) in kinds {
        known.insert(name.to_owned());
        if kind == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        }
    }
    let docs = metrics_in(&read("docs/METRICS.md"));
    let dashboard = metrics_in(&queries().join("\n"));
    assert!(dashboard.len() > 35, "{dashboard:?}");
    for (file, names) in [
        (DASHBOARD, dashboard),
        (RULES, metrics_in(&read(RULES))),
        (RULE_TESTS, metrics_in(&read(RULE_TESTS))),
    ] {
        for name in &names {
            assert!(known.contains(name), "{file}: there is no {name}");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_told = docs.contains(name) || base.is_some_and(|base| docs.contains(base));
            assert!(is_told, "{file}: {name} is not in docs/METRICS.md");
        }
    }
    let (rules, page) = (read(RULES), read("docs/METRICS.md"));
    for alert in ALERTS {
        assert!(rules.contains(&format!("- alert: {alert}\n")), "{alert} in {RULES}");
        assert!(page.contains(&format!("| `{alert}` |")), "{alert} in docs/METRICS.md");
    }
    assert_eq!(rules.matches("- alert: ").count(), ALERTS.len());
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_cover_each_other() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} covers another one", panel["title"]);
        }
        let is_row = panel["type"] == "row";
        assert!(
            is_row || panel["description"].as_str().is_some_and(|it| !it.is_empty()),
            "{}",
            panel["title"]
        );
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let Some(promtool) = program("promtool") else { return };
    for arguments in [["check", "rules", RULES], ["test", "rules", RULE_TESTS]] {
        let output = Command::new(&promtool).args(arguments).current_dir(path("")).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
    let balancer = Balancer::over(&[&Backend::named("one")]);
    let page = balancer.get("/lb-metrics?format=prometheus");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &page.body).unwrap();
    let checked =
        Command::new(&promtool).args(["check", "metrics"]).stdin(file.reopen().unwrap()).output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// A Prometheus of the test's own.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// It asks and thinks five times a second, and an alert need not last to fire.
    fn scraping(balancers: &[SocketAddr], program: &Path) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let rules = read(RULES);
        let lasting: Vec<_> = rules.lines().filter(|line| !line.trim().starts_with("for: ")).collect();
        std::fs::write(folder.path().join("rules.yml"), lasting.join("\n")).unwrap();
        let targets: Vec<String> = balancers.iter().map(|address| format!("\"{address}\"")).collect();
        let targets = targets.join(", ");
        let settings = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: [ rules.yml ]\n\
             scrape_configs:\n  - job_name: loadbalancer\n    metrics_path: /lb-metrics\n    \
             static_configs: [ {{ targets: [ {targets} ] }} ]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), settings).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"));
        let process = Process::spawn(command);
        eventually("Prometheus listens", || std::net::TcpStream::connect(free).is_ok());
        let prometheus = Prometheus { address: free, _process: process, _folder: folder };
        eventually("it is ready", || Client::connect(free).get("/-/ready").status == 200);
        prometheus
    }

    fn ask(&self, path: &str) -> Value {
        Client::connect(self.address).get(path).json()
    }

    /// What a query finds now.
    fn query(&self, query: &str) -> Value {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.ask(&format!("/api/v1/query?query={encoded}"));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].clone()
    }

    fn has_fired(&self, alert: &str) -> bool {
        let query = format!("count_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}[10m])");
        !self.query(&query).as_array().unwrap().is_empty()
    }
}

#[test]
fn a_real_prometheus_reads_it_all_and_each_alert_fires() {
    let Some(program) = program("prometheus") else { return };
    let (good, down) = (Backend::named("good"), Backend::that(Behaviour::Refuses));
    let broken = Backend::that(Behaviour::Answers(Answer { status: 500, ..Answer::ok("oh") }));
    let (closes, held) =
        (Backend::that(Behaviour::ClosesBeforeHead), Backend::that(Behaviour::Holds(Answer::ok("held"))));
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = Authority::new(folder.path()).issue("own", &["a.example"]);
    let pool = |backend: &Backend| json!({ "backends": [{ "url": backend.url() }] });
    let balancer = Balancer::start(config(
        &[&good, &down],
        json!({
            "workers": 4,
            "tls": { "listen": "127.0.0.1:0", "certificates": [{ "certificate": file, "private_key": key }] },
            "pools": { "broken": pool(&broken), "closes": pool(&closes), "held": pool(&held) },
            "routes": [
                { "path": "/broken", "pool": "broken" },
                { "path": "/closes", "pool": "closes" },
                { "path": "/held", "pool": "held" },
            ],
        }),
    ));
    // Of the same job, with another configuration.
    let other = Balancer::over(&[&good]);
    let prometheus = Prometheus::scraping(&[balancer.address(), other.address()], &program);
    let fires = |alert: &str| {
        assert!(ALERTS.contains(&alert));
        eventually(alert, || prometheus.has_fired(alert));
    };
    eventually("it is scraped", || {
        prometheus.query("up{job=\"loadbalancer\"} == 1").as_array().is_some_and(|it| !it.is_empty())
    });
    assert!(!prometheus.has_fired("RestartWouldHurt") && !prometheus.has_fired("WorkersNearlyAllBusy"));
    for alert in ["ApplicationAnswersWith5xx", "LoadBalancerFailsRequests"] {
        eventually(alert, || {
            ["/", "/broken", "/closes"].iter().for_each(|path| _ = balancer.get(path));
            prometheus.has_fired(alert)
        });
    }
    fires("BackendDown");
    fires("BalancersDiffer");
    // Each query of the dashboard finds something, while all this goes on.
    for query in queries() {
        eventually(&query, || {
            ["/", "/broken", "/closes"].iter().for_each(|path| _ = balancer.get(path));
            !prometheus.query(&query).as_array().unwrap().is_empty()
        });
    }
    let clients: Vec<_> = (0..4).map(|_| balancer.asking("/held")).collect();
    fires("WorkersNearlyAllBusy");
    held.release();
    drop(clients);
    balancer.write_config("{");
    fires("RestartWouldHurt");
    let rules = prometheus.ask("/api/v1/rules");
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), ALERTS.len());
    for rule in rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&json!("ok"), &Value::Null), "{rule}");
    }
    let targets = prometheus.ask("/api/v1/targets");
    assert_eq!(targets["data"]["activeTargets"][0]["lastError"], "", "{targets}");
}
