//! Files that name themselves, are deep or odd: they are refused in words or reported, and never a panic.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use super::super::{convert, read};
use super::{Program, converted, readable};
use crate::cli::ConvertOptions;
use crate::convert;

/// The verdict and the note for the first line that begins so.
fn told<'r>(rows: &'r [Json], directive: &str) -> (&'r str, &'r str) {
    let row = rows.iter().find(|row| row["directive"].as_str().is_some_and(|it| it.starts_with(directive)));
    let row = row.unwrap_or_else(|| panic!("no {directive}: {rows:?}"));
    (row["verdict"].as_str().unwrap(), row["note"].as_str().unwrap())
}

fn refused(program: &str, text: &str) -> String {
    let options = ConvertOptions { from: Some(program.to_owned()), ..ConvertOptions::default() };
    convert::text(text, &options).unwrap_err()
}

#[test]
fn a_status_is_a_number_or_a_class_and_may_be_any_text() {
    let proxy = |status: &str| {
        let text = format!(
            "http://a {{\n reverse_proxy b:1 {{\n  health_uri /up\n  health_status {status}\n }}\n}}\n"
        );
        converted("caddy", &text)
    };
    let (config, _) = proxy("2xx");
    assert_eq!(config["health_check"]["expect_status"], "200-299", "{config}");
    let (config, _) = proxy("204");
    assert_eq!(config["health_check"]["expect_status"], "204", "{config}");
    for odd in ["éxx", "xx", "9xx", "é", "44xx"] {
        let (config, rows) = proxy(odd);
        assert_eq!(told(&rows, "health_status").0, "not here", "{odd}");
        assert!(readable(&config, &rows), "{config}");
    }
}

#[test]
fn a_list_of_a_file_s_may_be_empty() {
    for listen in ["\"listen\": [],", "\"listen\": {},", ""] {
        let text = format!(
            r#"{{"apps": {{"http": {{"servers": {{"s": {{{listen} "routes": [
                {{"match": [{{"header": {{}}, "query": {{}}, "not": [], "remote_ip": {{}}, "path": []}}],
                  "handle": [{{"handler": "headers", "response": {{"set": {{"X": []}}, "delete": [""]}}}},
                             {{"handler": "static_response", "headers": {{"Location": []}}}}]}},
                {{"match": [], "handle": []}},
                {{"handle": [{{"handler": "reverse_proxy", "upstreams": []}}]}}]}}}}}}}}}}"#
        );
        let (config, rows) = converted("caddy", &text);
        assert_eq!(config["listen"], ":80", "{config}");
        assert_eq!(told(&rows, "s.listen").0, "differs");
        assert!(readable(&config, &rows), "{config}");
    }
    let text = "entryPoints: {}\nhttp: {routers: {r: {rule: '', middlewares: [], service: s}}, services: {s: {loadBalancer: {servers: []}}}, \
                middlewares: {c: {chain: {middlewares: []}}, s: {stripPrefix: {prefixes: []}}}}\ntls: {certificates: [{}]}\n";
    let (config, rows) = converted("traefik", text);
    assert_eq!((told(&rows, "no backends").0, &config["backends"]), ("not here", &serde_json::json!([])));
}

#[test]
fn matchers_of_json_are_all_kept() {
    let text = r#"{"apps": {"http": {"servers": {"s": {"listen": [":80"], "routes": [
        {"match": [{"header": {"X-A": ["1"], "X-B": ["2"]}, "query": {"q": ["1"]}}], "handle": [{"handler": "static_response", "status_code": 404}]},
        {"match": [{"not": [{"path": ["/a"]}, {"remote_ip": {"ranges": ["10.0.0.0/8"]}}]}], "handle": [{"handler": "static_response", "status_code": 403}]},
        {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "b:1"}],
                     "headers": {"request": {"add": {"X-C": ["3"]}, "delete": ["X-D"]}, "response": {"delete": ["Server"]}}}]}]}}}}}"#;
    let (config, rows) = converted("caddy", text);
    assert_eq!(told(&rows, "@match2").0, "not here");
    // Two conditions on fields can't be said by one route of this reader's, which is told and not forgotten.
    assert_eq!(told(&rows, "@match1").0, "not here");
    let pool = &config["request_headers"];
    assert_eq!(pool["add"]["X-C"], "3", "{config}");
    assert_eq!(pool["remove"], serde_json::json!(["X-D"]), "{config}");
    assert_eq!(config["response_headers"]["remove"], serde_json::json!(["Server"]), "{config}");
}

#[test]
fn a_chain_of_itself_closes_its_router_and_is_told() {
    let router = |middlewares: &str, more: &str| {
        let text = format!(
            "http:\n  routers: {{r: {{rule: 'PathPrefix(`/`)', middlewares: [{middlewares}], service: s}}}}\n  \
             services: {{s: {{loadBalancer: {{servers: [{{url: 'http://a'}}]}}}}}}\n  middlewares:\n{more}"
        );
        let (config, rows) = converted("traefik", &text);
        assert_eq!(config["routes"][0]["deny"], serde_json::json!(["0.0.0.0/0", "::/0"]), "{config}");
        let (verdict, note) = told(&rows, "http.routers.r.middlewares");
        assert_eq!(verdict, "not here");
        note.to_owned()
    };
    assert!(router("a", "    a: {chain: {middlewares: [a]}}\n").contains("a is in a chain of itself"));
    let both = "    a: {chain: {middlewares: [b@file]}}\n    b: {chain: {middlewares: [a]}}\n";
    assert!(router("b", both).contains("b@file is in a chain of itself"));
    let chain = |number: usize, next: &str| format!("    m{number}: {{chain: {{middlewares: [{next}]}}}}\n");
    let long: String = (0..2000).map(|number| chain(number, &format!("m{}", number + 1))).collect();
    assert!(router("m0", &long).contains("too deep"));
    let doubling: String = (0..30).map(|number| chain(number, &format!("m{0}, m{0}", number + 1))).collect();
    assert!(router("m0", &format!("{doubling}    m30: {{compress: {{}}}}\n")).contains("chains of too many"));
}

#[test]
fn shares_of_shares_are_written_once_each() {
    let mut services = "    s: {loadBalancer: {servers: [{url: 'http://a'}]}}\n".to_owned();
    let mut before = "s".to_owned();
    for number in 0..40 {
        services.push_str(&format!(
            "    w{number}: {{weighted: {{services: [{{name: {before}}}, {{name: {before}}}]}}}}\n"
        ));
        before = format!("w{number}");
    }
    let text = format!(
        "http:\n  routers: {{r: {{rule: 'PathPrefix(`/`)', service: w39}}}}\n  services:\n{services}"
    );
    let (config, rows) = converted("traefik", &text);
    assert!(readable(&config, &rows) && config["backends"].as_array().unwrap().len() == 1, "{config}");
}

#[test]
fn blocks_in_blocks_and_opposites_of_opposites_end() {
    let conditions = "@m path /a /a /a /a /a /a /a /a /a /a\n";
    let text = format!(
        "http://a {{\n{conditions}{}respond ok\n{}}}\n",
        "handle @m {\n".repeat(20),
        "}\n".repeat(20)
    );
    let (config, _) = converted("caddy", &text);
    assert!(config["routes"].as_array().unwrap().len() < 10, "{config}");
    let text = format!("http://a {{\n @m {}path /a\n respond @m ok\n}}\n", "not ".repeat(100_000));
    assert_eq!(told(&converted("caddy", &text).1, "@m").0, "not here");
    let text = "(a) {\n respond 200\n import a\n}\nhttp://a {\n import a\n import /none/at/all\n}\n";
    let (_, rows) = converted("caddy", text);
    assert_eq!(told(&rows, "import a"), ("not here", "imports are too deep, or one is within itself"));
    assert_eq!(told(&rows, "import /none"), ("not here", "this snippet or file is not there"));
    assert!(refused("caddy", &"a {\n".repeat(100)).ends_with("too deep"));
    assert!(refused("nginx", &"a {\n".repeat(100)).ends_with("too deep"));
    assert!(refused("traefik", &format!("a: {}", "[".repeat(100))).ends_with("too deep"));
    let (_, rows) = converted(
        "nginx",
        "limit_req_zone $binary_remote_addr zone=a:1m rate=1r/s; server { listen 80; \
                                        limit_req zone=a burst=18446744073709551615; location / { proxy_pass http://a; } }",
    );
    assert_eq!(told(&rows, "limit_req zone").0, "differs");
}

#[test]
fn files_that_include_themselves_and_files_of_a_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let run = |program: Program, name: &str| {
        let path = folder.path().join(name);
        let options = ConvertOptions { report: Some("json".to_owned()), ..ConvertOptions::default() };
        let done = convert(&read(&path)?, &path, program, &options)?;
        let rows: Vec<Json> = serde_json::from_str(&done.report).unwrap();
        Ok::<_, String>((serde_json::from_str::<Json>(&done.config).unwrap(), rows))
    };
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("nginx.conf", "include nginx.conf;\n");
    assert!(run(Program::Nginx, "nginx.conf").unwrap_err().ends_with("too deep"));
    write("Caddyfile", "import sites-*\nimport Caddyfile\n");
    write("sites-1", "http://one.example {\n reverse_proxy a:1\n}\n");
    write("sites-2", "http://two.example {\n reverse_proxy b:1\n}\n");
    let (config, rows) = run(Program::Caddy, "Caddyfile").unwrap();
    assert_eq!(told(&rows, "import Caddyfile").0, "not here");
    for host in ["one.example", "two.example"] {
        let has_host = |route: &Json| route["host"] == host || route["host"] == serde_json::json!([host]);
        assert!(config["routes"].as_array().unwrap().iter().any(has_host), "{config}");
    }
    write("traefik.yml", "providers: {file: {filename: none.yml}}\n");
    let (_, rows) = run(Program::Traefik, "traefik.yml").unwrap();
    assert_eq!(told(&rows, "providers.file.filename").0, "not here");
}

#[test]
fn a_pipe_is_refused_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let (sender, receiver) = crossbeam_channel::bounded(1);
    // Opening it would wait for somebody who writes.
    std::thread::spawn(move || sender.send(read(&pipe)));
    let said = receiver.recv_timeout(Duration::from_secs(20)).expect("it does not wait");
    assert!(said.unwrap_err().contains("not a regular file"));
    assert!(read(Path::new("/dev/zero")).unwrap_err().contains("not a regular file"));
}
