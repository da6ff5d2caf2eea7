//! Logs that today's releases of other balancers write, replayed: the shares are those that were counted there.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use loadbalancer::demo::echo::EchoOptions;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Backend, Behaviour, Client, Process, Run, eventually, peer};

const REQUESTS: usize = 120;

/// Names and texts.
type Files = Vec<(&'static str, String)>;

/// A balancer over three backends, the first with twice the weight, that logs into `log`.
struct Peer {
    name: &'static str,
    /// File names and texts.
    files: fn(SocketAddr, &[String; 3]) -> Files,
    arguments: &'static [&'static str],
    /// What the report of a replay calls the format.
    format: &'static str,
    weights: [u32; 3],
    /// Its standard output is the log.
    to_stdout: bool,
}

const NGINX: Peer = Peer {
    name: "nginx",
    files: |front, backends| {
        let servers: String = backends
            .iter()
            .enumerate()
            .map(|(place, address)| format!("server {address} weight={};", if place == 0 { 2 } else { 1 }))
            .collect();
        let text = format!(
            "daemon off; pid nginx.pid; events {{}} http {{
             log_format timed '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent '
                 '\"$http_referer\" \"$http_user_agent\" $request_time';
             access_log log timed; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;
             uwsgi_temp_path u; scgi_temp_path s; upstream app {{ {servers} }}
             server {{ listen {front}; location / {{ proxy_pass http://app; }} }} }}"
        );
        vec![("nginx.conf", text)]
    },
    arguments: &["-e", "stderr", "-p", "FOLDER/", "-c", "FOLDER/nginx.conf"],
    format: "combined",
    weights: [2, 1, 1],
    to_stdout: false,
};

const HAPROXY: Peer = Peer {
    name: "haproxy",
    files: |front, [a, b, c]| {
        let text = format!(
            "global\n log stdout format raw local0\ndefaults\n mode http\n log global\n option httplog\n timeout connect 5s\n \
             timeout client 30s\n timeout server 30s\nlisten app\n bind {front}\n server a {a} weight 2\n server b {b}\n server c {c}\n"
        );
        vec![("haproxy.cfg", text)]
    },
    arguments: &["-db", "-f", "FOLDER/haproxy.cfg"],
    format: "HAProxy's httplog",
    weights: [2, 1, 1],
    to_stdout: true,
};

const CADDY: Peer = Peer {
    name: "caddy",
    files: |front, [a, b, c]| {
        let text = format!(
            "{{\n admin off\n persist_config off\n auto_https off\n}}\nhttp://:{} {{\n bind {}\n log {{\n output file log\n }}\n \
             reverse_proxy {a} {b} {c} {{\n lb_policy round_robin\n }}\n}}\n",
            front.port(),
            front.ip()
        );
        vec![("Caddyfile", text)]
    },
    arguments: &["run", "--config", "FOLDER/Caddyfile"],
    format: "Caddy's",
    weights: [1, 1, 1],
    to_stdout: false,
};

const TRAEFIK: Peer = Peer {
    name: "traefik",
    files: |front, [a, b, c]| {
        let fixed = json!({
            "entryPoints": { "web": { "address": front.to_string() } },
            "providers": { "file": { "filename": "dynamic.yml" } },
            "accessLog": { "filePath": "log", "format": "json" },
            "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
        });
        let servers = json!([{ "url": format!("http://{a}"), "weight": 2 }, { "url": format!("http://{b}") }, { "url": format!("http://{c}") }]);
        let dynamic = json!({ "http": {
            "routers": { "all": { "rule": "PathPrefix(`/`)", "service": "app" } },
            "services": { "app": { "loadBalancer": { "servers": servers } } },
        } });
        vec![("traefik.yml", fixed.to_string()), ("dynamic.yml", dynamic.to_string())]
    },
    arguments: &["--configfile=FOLDER/traefik.yml"],
    format: "Traefik's (JSON)",
    weights: [2, 1, 1],
    to_stdout: false,
};

/// Starts it, asks, and stops it: who answered how often, and the log.
fn recorded(peer: &Peer, program: &Path, backends: &[Backend; 3]) -> (BTreeMap<String, usize>, String) {
    let addresses = [0, 1, 2].map(|place| backends[place].address().to_string());
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let front = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (name, text) in (peer.files)(front, &addresses) {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let place = folder.path().display().to_string();
        let mut command = Command::new(program);
        command.args(peer.arguments.iter().map(|word| word.replace("FOLDER", &place)));
        let mut process = Process::spawn({
            command.current_dir(folder.path()).env("HOME", folder.path());
            command
        });
        eventually("it listens, or has ended", || TcpStream::connect(front).is_ok() || !process.is_running());
        if !process.is_running() {
            continue;
        }
        let ask = || {
            let mut client = Client::connect(front);
            client.send("GET /x HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
            let response =
                client.try_read_response_to("GET").ok().filter(|response| response.status == 200)?;
            let page: Value = serde_json::from_slice(&response.body).ok()?;
            page["server"].as_str().map(str::to_owned)
        };
        // Traefik listens before it has read its routes. Whoever answers first has answered and is logged.
        let mut counted = BTreeMap::new();
        let first = eventually("it answers", ask);
        *counted.entry(first).or_insert(0) += 1;
        for _ in 1..REQUESTS {
            *counted.entry(ask().expect("an answer")).or_insert(0) += 1;
        }
        // HAProxy ends at once when it is told to, with or without the last line.
        let is_asked = |line: &String| line.contains("/x");
        eventually("all are logged", || match peer.to_stdout {
            true => process.stdout().iter().filter(|line| is_asked(line)).count() >= REQUESTS,
            false => {
                fs::read_to_string(folder.path().join("log")).unwrap_or_default().matches("/x").count()
                    >= REQUESTS
            }
        });
        process.signal(Signal::TERM);
        eventually("it has ended", || !process.is_running());
        let log = match peer.to_stdout {
            true => process.finish().stdout,
            false => fs::read_to_string(folder.path().join("log")).unwrap(),
        };
        return (counted, log);
    }
    panic!("no port for {}", peer.name);
}

fn check(wanted: &Peer) {
    let Some(program) = peer(wanted.name) else { return };
    let backends = ["a", "b", "c"].map(|name| {
        Backend::that(Behaviour::Echo(EchoOptions { name: name.into(), ..EchoOptions::default() }))
    });
    let (counted, log) = recorded(wanted, &program, &backends);
    let list: Vec<Value> = backends
        .iter()
        .zip(wanted.weights)
        .map(|(backend, weight)| json!({ "url": backend.url(), "weight": weight }))
        .collect();
    let config = json!({ "backends": list }).to_string();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log"), &log).unwrap();
    let run = Run::of(["replay"]).arg(folder.path().join("log")).arg("--config").file(&config).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains(&format!("taken for {} (", wanted.format)), "{}: {run:?}", wanted.name);
    for (name, backend) in ["a", "b", "c"].iter().zip(&backends) {
        let line = run.stdout.lines().find(|line| line.contains(&backend.url())).expect("a row");
        let (_, after) = line.split_once(&backend.url()).unwrap();
        let share: usize = after.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(share, counted[*name], "{}: {counted:?} {}", wanted.name, run.stdout);
    }
}

#[test]
fn a_log_of_nginx_replays_to_what_was_counted() {
    check(&NGINX);
}

#[test]
fn a_log_of_haproxy_replays_to_what_was_counted() {
    check(&HAPROXY);
}

#[test]
fn a_log_of_caddy_replays_to_what_was_counted() {
    check(&CADDY);
}

#[test]
fn a_log_of_traefik_replays_to_what_was_counted() {
    check(&TRAEFIK);
}
