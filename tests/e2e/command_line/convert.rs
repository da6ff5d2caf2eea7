//! `loadbalancer convert`: for each of four programs a pair of balancers, theirs and ours with its configuration
//! converted, gets the same 200 requests, and answers alike but for what the report says.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use loadbalancer::demo::echo::EchoOptions;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Backend, Balancer, Behaviour, Client, Process, Response, Run, eventually};

/// A program with its configuration of tests/cases/convert.
struct Peer {
    name: &'static str,
    files: &'static [&'static str],
    arguments: fn(&Path) -> Vec<String>,
}

const NGINX: Peer = Peer {
    name: "nginx",
    files: &["nginx.conf"],
    arguments: |folder| {
        let folder = folder.display();
        ["-e", "stderr", "-p", &format!("{folder}/"), "-c", &format!("{folder}/nginx.conf")]
            .map(str::to_owned)
            .into()
    },
};
const HAPROXY: Peer = Peer {
    name: "haproxy",
    files: &["haproxy.cfg"],
    arguments: |folder| ["-db", "-f", &format!("{}/haproxy.cfg", folder.display())].map(str::to_owned).into(),
};
const CADDY: Peer = Peer {
    name: "caddy",
    files: &["Caddyfile"],
    arguments: |folder| {
        ["run", "--config", &format!("{}/Caddyfile", folder.display())].map(str::to_owned).into()
    },
};
const TRAEFIK: Peer = Peer {
    name: "traefik",
    files: &["traefik.yml", "traefik_dynamic.yml"],
    arguments: |folder| vec![format!("--configfile={}/traefik.yml", folder.display())],
};

/// Both balancers over the same three backends.
struct Pair {
    theirs: (Process, SocketAddr),
    ours: Balancer,
    report: Vec<Value>,
    _backends: [Backend; 3],
    _folder: TempDir,
}

impl Pair {
    /// `None` where the program can't be had, which is said.
    fn start(peer: &Peer) -> Option<Pair> {
        let program = crate::support::peer(peer.name)?;
        let backends = ["a", "b", "c"].map(|name| {
            Backend::that(Behaviour::Echo(EchoOptions { name: name.into(), ..EchoOptions::default() }))
        });
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let front = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            for file in peer.files {
                fs::write(folder.path().join(file), case(file, front.port(), &backends)).unwrap();
            }
            let mut command = Command::new(&program);
            command
                .args((peer.arguments)(folder.path()))
                .current_dir(folder.path())
                .env("HOME", folder.path());
            let mut process = Process::spawn(command);
            let answers = || TcpStream::connect(front).is_ok();
            eventually("it listens, or has ended", || answers() || !process.is_running());
            // Traefik listens before it has read its routes.
            let is_ready = || {
                let mut client = Client::connect(front);
                client.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
                client.try_read_response_to("GET").is_ok_and(|response| response.status == 200)
            };
            if process.is_running() {
                eventually("it has read its configuration", is_ready);
            }
            // Somebody else may have been given the port meanwhile.
            if !process.is_running() {
                continue;
            }
            let (config, report) = convert(&folder.path().join(peer.files[0]));
            let ours = Balancer::start(with_free_port(config)).once_probed();
            return Some(Pair {
                theirs: (process, front),
                ours,
                report,
                _backends: backends,
                _folder: folder,
            });
        }
        panic!("no port for {}", peer.name);
    }

    /// What both say to a request.
    fn ask(&self, method: &str, host: &str, path: &str) -> [Said; 2] {
        [self.theirs.1, self.ours.address()].map(|address| {
            let mut client = Client::connect(address);
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Mine: 1\r\n\r\n"));
            Said::of(&client.read_response_to(method))
        })
    }

    /// Whether the report says this of a directive that begins so.
    fn says(&self, directive: &str, verdict: &str) -> bool {
        self.report
            .iter()
            .any(|row| row["directive"].as_str().unwrap().starts_with(directive) && row["verdict"] == verdict)
    }
}

impl Drop for Pair {
    /// In order: nginx's workers outlive a master that is killed.
    fn drop(&mut self) {
        self.theirs.0.signal(Signal::TERM);
        eventually("it has ended", || !self.theirs.0.is_running());
    }
}

/// An answer, and what the backend was asked.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Said {
    status: u16,
    location: Option<String>,
    frame_options: Option<String>,
    backend: String,
    asked: BTreeMap<String, Value>,
    text: String,
}

impl Said {
    fn of(response: &Response) -> Said {
        let field = |name: &str| response.header(name).map(str::to_owned);
        let page: Value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        let name =
            ["host", "x-seen-as", "x-mine", "x-inside", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"];
        let mut asked: BTreeMap<String, Value> = ["method", "path"]
            .iter()
            .filter(|part| !page[**part].is_null())
            .map(|part| ((*part).to_owned(), page[*part].clone()))
            .collect();
        for name in name.iter().filter(|name| !page["headers"][**name].is_null()) {
            asked.insert((*name).to_owned(), page["headers"][*name].clone());
        }
        let is_own = page.is_null() && response.status == 200;
        Said {
            status: response.status,
            location: field("location"),
            frame_options: field("x-frame-options"),
            backend: page["server"].as_str().unwrap_or_default().to_owned(),
            asked,
            text: if is_own { response.text().to_owned() } else { String::new() },
        }
    }

    /// Without what the report says differs: the backend of a pool with several, fields that only we set, and
    /// with HAProxy those of its own answers.
    fn alike(mut self, without_fields: bool) -> Said {
        if self.backend == "a" || self.backend == "b" {
            self.backend = "a or b".to_owned();
        }
        for ours in ["x-forwarded-for", "x-real-ip"] {
            self.asked.remove(ours);
        }
        // Without a rule it is that of the connection, which has no TLS here.
        if self.asked.get("x-forwarded-proto").is_some_and(|scheme| scheme == "http") {
            self.asked.remove("x-forwarded-proto");
        }
        // Traefik answers 301 to GET, and 308 to others.
        self.status = if self.status == 301 { 308 } else { self.status };
        if without_fields && self.backend.is_empty() {
            self.frame_options = None;
        }
        self
    }
}

fn case(file: &str, front: u16, backends: &[Backend; 3]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/convert").join(file);
    let mut text = fs::read_to_string(path).unwrap().replace("PORT_FRONT", &front.to_string());
    for (name, backend) in ["PORT_A", "PORT_B", "PORT_C"].iter().zip(backends) {
        text = text.replace(name, &backend.address().port().to_string());
    }
    text
}

/// Our configuration and the report.
fn convert(file: &Path) -> (Value, Vec<Value>) {
    let run = Run::of(["convert"]).arg(file).arg("--report").arg("json").output();
    let status = run.code;
    assert!(matches!(status, Some(0 | 3)), "{status:?} {}", run.stderr);
    let report = serde_json::from_str(&run.stderr).unwrap();
    (serde_json::from_str(&run.stdout).unwrap(), report)
}

fn with_free_port(mut config: Value) -> Value {
    config["listen"] = json!("127.0.0.1:0");
    config
}

/// The same 200 requests to both.
fn drive(peer: &Peer, hosts: &[&str], paths: &[&str]) -> Option<Pair> {
    let pair = Pair::start(peer)?;
    let requests: Vec<(&str, &str, &str)> = ["GET", "POST", "HEAD", "DELETE"]
        .iter()
        .flat_map(|method| hosts.iter().map(move |host| (*method, *host)))
        .flat_map(|(method, host)| paths.iter().map(move |path| (method, host, *path)))
        .cycle()
        .take(200)
        .collect();
    let mut shares = [BTreeMap::new(), BTreeMap::new()];
    for (method, host, path) in requests {
        let both = pair.ask(method, host, path);
        for (said, share) in both.iter().zip(&mut shares) {
            *share.entry(said.backend.clone()).or_insert(0) += 1;
        }
        let [theirs, ours] = both.map(|said| said.alike(peer.name == "haproxy"));
        assert_eq!(ours, theirs, "{}: {method} {host} {path}", peer.name);
    }
    let [theirs, ours] = shares;
    for name in ["a", "b"] {
        let count = |share: &BTreeMap<String, i32>| share.get(name).copied().unwrap_or(0);
        assert!((count(&theirs) - count(&ours)).abs() <= 2, "{}: {theirs:?} {ours:?}", peer.name);
    }
    Some(pair)
}

/// The documentation shows a file and what is said of it.
#[test]
fn the_documentation_s_example_is_what_is_printed() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONVERT.md")).unwrap();
    let console = page.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (_, rest) = console.split_once("$ cat site.conf\n").unwrap();
    let (site, rest) = rest.split_once("$ loadbalancer convert site.conf > lb.json\n").unwrap();
    let (shown, _) = rest.split_once("$ ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.conf"), site).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadbalancer"));
    command.args(["convert", "site.conf"]).current_dir(folder.path());
    let run = Run::of_command(command).output();
    assert_eq!((run.code, run.stderr.trim()), (Some(3), shown.trim()));
    fs::write(folder.path().join("lb.json"), &run.stdout).unwrap();
    assert_eq!(Run::of(["check", "-q"]).arg(folder.path().join("lb.json")).output().code, Some(0));
}

#[test]
fn what_can_t_be_read_is_said_with_its_line() {
    for (text, from, expected) in [
        ("server {\n", "nginx", "it ends too early"),
        ("x", "apache", "is not one of nginx, haproxy, caddy, traefik"),
        ("bind :80", "haproxy", "stands in no section"),
    ] {
        let run = Run::of(["convert", "-"]).arg("--from").arg(from).input(text).output();
        assert_eq!(run.code, Some(2), "{text}");
        assert!(run.stderr.contains(expected) && run.stdout.is_empty(), "{}", run.stderr);
    }
}

#[test]
fn nginx_and_its_conversion_answer_alike() {
    let paths = [
        "/",
        "/x?y=1",
        "/api/",
        "/api/users?a=b",
        "/v2/x",
        "/robots.txt",
        "/img/7",
        "/img/x",
        "/old/page?q",
        "/private/x",
        "/ro/x",
        "/here/x",
        "/%41/..%2f",
    ];
    let Some(pair) =
        drive(&NGINX, &["example.com", "shop.example.com", "a.shop.example.com", "other.test"], &paths)
    else {
        return;
    };
    for host in ["secure.example.com", "plain.example.com", "example.com"] {
        for path in ["/", "/order/x", "/first/x", "/gone/x"] {
            let [theirs, ours] = pair.ask("GET", host, path).map(|said| said.alike(false));
            assert_eq!(ours, theirs, "{host} {path}");
        }
    }
    assert!(pair.says("if ($host = secure.example.com)", "same"));
    let [_, ours] = pair.ask("GET", "shop.example.com", "/");
    assert_eq!(ours.asked["x-forwarded-proto"], "https");
    // Named in the report, and so it is.
    assert!(pair.says("location /api/", "differs"));
    let [theirs, ours] = pair.ask("GET", "example.com", "/api");
    assert_eq!((theirs.status, ours.status), (301, 200));
    assert!(pair.says("no forwarded fields", "differs"));
    let [theirs, ours] = pair.ask("GET", "shop.example.com", "/");
    assert_eq!((theirs.asked.get("x-real-ip"), ours.asked.contains_key("x-real-ip")), (None, true));
    assert!(pair.says("client_max_body_size 1k", "same"));
    for address in [pair.theirs.1, pair.ours.address()] {
        let mut client = Client::connect(address);
        client.ask("POST", "/", &[("Content-Length", "2000")], b"");
        assert_eq!(client.read_response().status, 413);
    }
}

#[test]
fn haproxy_and_its_conversion_answer_alike() {
    let paths = [
        "/",
        "/x?y=1",
        "/api/users?a=b",
        "/robots.txt",
        "/img/7",
        "/img/x",
        "/private/x",
        "/none/x",
        "/guarded/x",
        "/guarded/no/x",
        "/guarded/in/x",
        "/guarded/out/x",
        "/here/x",
        "/%41/..%2f",
    ];
    let Some(pair) = drive(&HAPROXY, &["example.com", "shop.example.com", "other.test"], &paths) else {
        return;
    };
    let [theirs, ours] = pair.ask("GET", "shop.example.com", "/");
    for field in ["x-forwarded-for", "x-forwarded-proto"] {
        assert_eq!(&ours.asked[field], &theirs.asked[field]);
    }
    let [theirs, ours] = pair.ask("GET", "example.com", "/old/page?q");
    assert_eq!((theirs.status, &theirs.location), (ours.status, &ours.location));
    assert!(pair.says("acl is_api", "differs"));
    let [theirs, ours] = pair.ask("GET", "example.com", "/api");
    assert_eq!((theirs.backend != "c", ours.backend.as_str()), (true, "c"));
    assert!(pair.says("http-response set-header", "differs"));
}

#[test]
fn caddy_and_its_conversion_answer_alike() {
    let paths = [
        "/",
        "/x?y=1",
        "/api/",
        "/api/users?a=b",
        "/robots.txt",
        "/img/7",
        "/img/x",
        "/old/x?q",
        "/private/x",
    ];
    let Some(pair) = drive(&CADDY, &["example.com", "shop.example.com", "other.test"], &paths) else {
        return;
    };
    assert!(pair.says("handle_path /api/*", "differs"));
    let [theirs, ours] = pair.ask("GET", "example.com", "/api");
    assert_eq!((theirs.backend != "c", ours.backend.as_str()), (true, "c"));
}

#[test]
fn traefik_and_its_conversion_answer_alike() {
    let paths = ["/", "/x?y=1", "/api", "/api/users?a=b", "/img/7", "/img/x", "/old/page?q=1", "/here/x"];
    let Some(pair) = drive(&TRAEFIK, &["example.com", "shop.example.com", "other.test"], &paths) else {
        return;
    };
    assert!(pair.says("http.routers.api.rule", "differs"));
    let [theirs, ours] = pair.ask("GET", "example.com", "/apis");
    assert_eq!((theirs.backend.as_str(), ours.backend != "c"), ("c", true));
}
