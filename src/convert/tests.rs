//! Laws for all programs: the report mentions every line, and the written file can be read.

mod access;
mod forwarded;
mod hostile;
mod odd;
mod precedence;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::config::{Overrides, parse};

fn converted(program: &str, text: &str) -> (Json, Vec<Json>) {
    let options = ConvertOptions {
        from: Some(program.to_owned()),
        report: Some("json".to_owned()),
        ..ConvertOptions::default()
    };
    let done = super::text(text, &options).unwrap();
    (serde_json::from_str(&done.config).unwrap(), serde_json::from_str(&done.report).unwrap())
}

/// The lines that the report does not mention, without lines that say nothing, such as braces and comments.
fn untold(text: &str, rows: &[Json]) -> Vec<String> {
    let is_told = |number: usize| rows.iter().any(|row| row["line"] == number);
    let says = |line: &str| line.chars().any(|c| !c.is_whitespace() && !"{}#".contains(c));
    let lines = text.lines().enumerate().filter(|(number, line)| says(line) && !is_told(number + 1));
    lines.map(|(_, line)| line.to_owned()).collect()
}

const NGINX: [&str; 22] = [
    "proxy_read_timeout 5s",
    "proxy_read_timeout x",
    "client_max_body_size 0",
    "gzip on",
    "gzip_types text/css",
    "proxy_set_header X-A $remote_addr",
    "proxy_set_header X-A $uri",
    "proxy_set_header Host $proxy_host",
    "add_header X-B c",
    "add_header X-B $x always",
    "frobnicate on",
    "root /srv",
    "limit_req zone=a burst=5",
    "allow 10.0.0.0/8",
    "deny all",
    "auth_basic a",
    "error_page 502 /x.html",
    "access_log off",
    "error_log /tmp/x",
    "keepalive_timeout 0",
    "proxy_hide_header X",
    "rewrite ^ /x",
];
const HAPROXY: [&str; 20] = [
    "acl a path_beg /a",
    "acl a rand(2) eq 1",
    "use_backend b if a",
    "use_backend nobody",
    "http-request deny if a",
    "http-request deny unless { src 10.0.0.0/8 }",
    "http-request set-header X-A b",
    "http-request set-header X-A %[foo]",
    "http-response del-header Server",
    "timeout client 5s",
    "timeout http-request x",
    "option httplog",
    "option forwardfor",
    "frobnicate",
    "stick-table type ip",
    "redirect location /x if a",
    "http-request return status 200 if { path /r }",
    "maxconn 10",
    "stats enable",
    "compression algo gzip",
];
const CADDY: [&str; 20] = [
    "header X-A b",
    "header -Server",
    "header >X {foo}",
    "encode gzip",
    "encode zstd",
    "@a path /x",
    "@b expression x",
    "respond @a 404",
    "respond @none 404",
    "redir /o https://x{uri}",
    "reverse_proxy a:1 b:1",
    "reverse_proxy /p* h2c://a",
    "request_header X-A {host}",
    "uri strip_prefix /a",
    "uri replace a b",
    "basic_auth",
    "frobnicate x",
    "root * /srv",
    "file_server",
    "log",
];

fn some_of(lines: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(proptest::sample::select(lines), 0..12)
}

/// Whether our reader accepts the written file, or the report says what to correct.
fn readable(config: &Json, rows: &[Json]) -> bool {
    parse(&config.to_string(), &Overrides::default()).is_ok()
        || rows.iter().any(|row| row["note"].as_str().is_some_and(|note| note.starts_with("to be mended")))
}

proptest! {
    #[test]
    fn every_line_of_nginx_s_is_told(outer in some_of(&NGINX), server in some_of(&NGINX), inner in some_of(&NGINX)) {
        let lines = |list: &[&str]| list.iter().map(|line| format!("{line};\n")).collect::<String>();
        let text = format!(
            "limit_req_zone $binary_remote_addr zone=a:1m rate=5r/s;\n{}server {{\nlisten 80;\n{}location /x {{\n{}proxy_pass http://a;\n}}\n}}\n",
            lines(&outer), lines(&server), lines(&inner)
        );
        let (config, rows) = converted("nginx", &text);
        prop_assert_eq!(untold(&text, &rows), Vec::<String>::new());
        prop_assert!(readable(&config, &rows), "{}", config);
    }

    #[test]
    fn every_line_of_haproxy_s_is_told(front in some_of(&HAPROXY), back in some_of(&HAPROXY)) {
        let lines = |list: &[&str]| list.iter().map(|line| format!(" {line}\n")).collect::<String>();
        let text = format!(
            "frontend f\n mode http\n bind :80\n{} default_backend b\nbackend b\n mode http\n{} server a 10.0.0.1:80\n",
            lines(&front), lines(&back)
        );
        let (config, rows) = converted("haproxy", &text);
        prop_assert_eq!(untold(&text, &rows), Vec::<String>::new());
        prop_assert!(readable(&config, &rows), "{}", config);
    }

    #[test]
    fn every_line_of_caddy_s_is_told(site in some_of(&CADDY), inner in some_of(&CADDY)) {
        let lines = |list: &[&str]| list.iter().map(|line| format!("\t{line}\n")).collect::<String>();
        let text = format!("http://a.example.com {{\n{}\thandle /h/* {{\n{}\t}}\n}}\n", lines(&site), lines(&inner));
        let (config, rows) = converted("caddy", &text);
        prop_assert_eq!(untold(&text, &rows), Vec::<String>::new());
        prop_assert!(readable(&config, &rows), "{}", config);
    }
}

#[test]
fn every_word_of_traefik_s_is_told() {
    let text = "\
entryPoints:
  web:
    address: :80
    frobnicate: 1
http:
  routers:
    a:
      rule: Host(`a`)
      service: s
      odd: 1
  services:
    s:
      loadBalancer:
        servers: [{ url: 'http://a' }]
        odd: 2
    m:
      odd: 3
  middlewares:
    h:
      headers: { odd: 4, frameDeny: true }
    x:
      odd: 5
odd: 6
";
    let (config, rows) = converted("traefik", text);
    for odd in ["frobnicate: 1", "odd: 1", "odd: 2", "odd: 3", "odd: 4", "odd: 5", "odd: 6"] {
        let is_told = |row: &Json| {
            row["directive"].as_str().is_some_and(|text| text.ends_with(odd)) && row["verdict"] == "not here"
        };
        assert!(rows.iter().any(is_told), "{odd}: {rows:?}");
    }
    assert!(readable(&config, &rows));
}

#[test]
fn which_program_a_file_is_for() {
    for (name, text, expected) in [
        ("x", "server {\n listen 80;\n}\n", Program::Nginx),
        ("x", "defaults\n mode http\nfrontend a\n bind :80\n", Program::Haproxy),
        ("Caddyfile", "", Program::Caddy),
        ("x", ":80\nreverse_proxy a\n", Program::Caddy),
        ("a.yml", "", Program::Traefik),
        ("x", "http:\n  routers:\n", Program::Traefik),
    ] {
        assert_eq!(Program::guess(Path::new(name), text), Ok(expected), "{name} {text}");
    }
}

#[test]
fn braces_of_others_are_no_variables_of_ours() {
    let text = "server { listen 80; return 200 \"${x\"; }";
    let (config, _) = converted("nginx", text);
    let text = config.to_string();
    assert!(!text.contains("\"${x"), "{text}");
}

/// A restriction that we can't express closes the route and is reported.
#[test]
fn what_keeps_people_out_is_never_lost() {
    let routes = |config: &Json| config["routes"].as_array().cloned().unwrap_or_default();
    let is_told = |rows: &[Json], word: &str| {
        rows.iter().any(|row| {
            row["directive"].as_str().is_some_and(|it| it.starts_with(word)) && row["verdict"] == "not here"
        })
    };
    let closed = json!(["0.0.0.0/0", "::/0"]);
    let (config, rows) =
        converted("nginx", "server { listen 80; location / { auth_request /check; proxy_pass http://a; } }");
    assert_eq!(routes(&config)[0]["deny"], closed, "{config}");
    assert!(is_told(&rows, "auth_request"));

    let text = "http://a.example.com {\n basic_auth /admin/* {\n  bob $2a$14$x\n }\n reverse_proxy b:1\n}\n";
    let (config, rows) = converted("caddy", text);
    let admin =
        routes(&config).into_iter().find(|route| route["path"] == "/admin").expect("a route of its own");
    assert_eq!(admin["basic_auth"]["users"], "users.htpasswd", "{config}");
    assert!(is_told(&rows, "basic_auth"));

    let text = "http:\n  routers: {r: {rule: 'PathPrefix(`/`)', middlewares: [x, y], service: s}}\n  services: {s: {loadBalancer: {servers: [{url: 'http://a'}]}}}\n  middlewares:\n    x: {ipAllowList: {sourceRange: [10.0.0.0/8]}}\n    y: {ipAllowList: {sourceRange: [192.0.2.0/24]}}\n";
    let (config, rows) = converted("traefik", text);
    assert_eq!(routes(&config)[0]["deny"], closed, "{config}");
    assert!(is_told(&rows, "http.routers.r.middlewares"));

    let text = "userlist u\n user a password b\nfrontend f\n mode http\n bind :80\n acl ok http_auth(u)\n acl admin path_beg /admin\n \
                http-request auth realm x if admin !ok\n http-request deny unless { src 10.0.0.0/8 }\n http-request deny unless { src 192.0.2.0/24 }\n \
                default_backend b\nbackend b\n mode http\n server s 10.0.0.1:80\n";
    let (config, rows) = converted("haproxy", text);
    let admin =
        routes(&config).into_iter().find(|route| route["path"] == "/admin").expect("a route of its own");
    assert_eq!(admin["basic_auth"]["users"], "users.htpasswd", "{config}");
    assert!(routes(&config).iter().all(|route| route["deny"] == closed), "{config}");
    assert!(is_told(&rows, "http-request auth") && is_told(&rows, "http-request deny"));
}

#[test]
fn a_name_that_means_something_else_here_is_not_taken_for_it() {
    let text =
        "upstream backend { server a:80; } server { listen 80; location / { proxy_pass http://backend; } }";
    let (config, rows) = converted("nginx", text);
    assert_eq!(config["host_header"], "backend");
    assert!(
        rows.iter().any(|row| row["note"]
            .as_str()
            .is_some_and(|note| note.starts_with("Host is the backend's own")))
    );
    let (config, rows) = converted(
        "haproxy",
        "frontend f\n mode http\n bind :80\n http-request set-header X-A: b\n default_backend b\nbackend b\n mode http\n server s 10.0.0.1:80\n",
    );
    assert!(readable(&config, &rows) && config.get("request_headers").is_none(), "{config}");
    assert!(rows.iter().any(|row| row["directive"] == "request_headers: X-A:"), "{rows:?}");
}
