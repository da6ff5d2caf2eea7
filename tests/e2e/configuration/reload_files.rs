//! Files that vanish, or are no files, under a running balancer: what is in force stays, and what comes
//! afterwards is still noticed.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Admin, Authority, Backend, Run, Signal, config, eventually};

fn put(path: &Path, config: &Value) {
    let next = path.with_extension("next");
    std::fs::write(&next, config.to_string()).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[test]
fn a_certificate_that_is_renamed_is_said_to_be_gone_and_the_next_file_is_loaded() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    let authority = Authority::new(folder.path());
    let path = folder.path().join("config.json");
    let mut first = config(&[&backend], json!({ "tls": authority.listener() }));
    put(&path, &first);
    let balancer = Run::of(["--config", path.to_str().unwrap()]).start();
    let certificate = folder.path().join("localhost.pem");
    let renamed = folder.path().join("renamed.pem");
    std::fs::rename(&certificate, &renamed).unwrap();
    let line = balancer.wait_for_log("a file is gone");
    assert!(line.contains(certificate.to_str().unwrap()), "{line}");
    first["algorithm"] = json!("least_conn");
    put(&path, &first);
    let line = balancer.wait_for_log("not reloaded");
    assert!(line.contains("tls.certificates[0].certificate") && line.contains("No such file"), "{line}");
    first["tls"]["certificates"][0]["certificate"] = json!(renamed);
    put(&path, &first);
    let line = balancer.wait_for_log("configuration reloaded");
    assert!(line.contains("algorithm round_robin -> least_conn"), "{line}");
}

#[test]
fn a_renewed_certificate_ends_no_drain() {
    let (folder, backends) = (tempfile::tempdir().unwrap(), ["a", "b"].map(Backend::named));
    let authority = Authority::new(folder.path());
    let more = json!({ "tls": authority.listener(), "admin": { "listen": "127.0.0.1:0" } });
    let admin = Admin::over(config(&backends.each_ref(), more));
    admin.post(&format!("/backends/drain?url={}", backends[0].url()));
    admin.post(&format!("/backends/weight?url={}&weight=9", backends[1].url()));
    authority.issue("localhost", &["localhost"]);
    let line = admin.balancer.wait_for_log("configuration reloaded");
    admin.balancer.wait_for_log("certificates were read again");
    let kept = format!("kept_by_hand=\"{}: draining, {}: weight 9\"", backends[0].url(), backends[1].url());
    assert!(line.contains(&kept), "{line}");
    assert_eq!(admin.balancer.states(), ["draining", "healthy"]);
    assert_eq!(admin.balancer.metrics()["backends"][1]["weight"], 9);
}

#[test]
fn a_file_that_was_missing_when_it_was_named_is_read_once_it_is_there() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    let authority = Authority::new(folder.path());
    let path = folder.path().join("config.json");
    let mut config = config(&[&backend], json!({ "tls": authority.listener() }));
    put(&path, &config);
    let balancer = Run::of(["--config", path.to_str().unwrap()]).start();
    let [certificate, key] = ["later.pem", "later.key"].map(|name| folder.path().join(name));
    config["tls"]["certificates"] = json!([{ "certificate": certificate, "private_key": key }]);
    put(&path, &config);
    balancer.wait_for_log("not reloaded");
    authority.issue("later", &["localhost"]);
    balancer.wait_for_log("configuration reloaded");
}

#[test]
fn a_pipe_or_a_device_in_its_place_holds_nothing_up() {
    let (folder, backends) = (tempfile::tempdir().unwrap(), ["a", "b", "c"].map(Backend::named));
    let path = folder.path().join("config.json");
    put(&path, &config(&[&backends[0]], json!({})));
    let balancer = Run::of(["--config", path.to_str().unwrap()]).start();
    let place = |special: &Path, next: (&Backend, &str), seen: usize| {
        std::fs::rename(special, &path).unwrap();
        eventually("it is refused", || balancer.log_lines_with("not a regular file").len() == seen);
        balancer.signal(Signal::HUP);
        eventually("and again", || balancer.log_lines_with("not a regular file").len() == seen + 1);
        put(&path, &config(&[next.0], json!({})));
        eventually("the file after it is loaded", || balancer.get("/").text() == next.1);
    };
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    place(&pipe, (&backends[1], "b"), 1);
    let device = folder.path().join("device");
    symlink("/dev/zero", &device).unwrap();
    place(&device, (&backends[2], "c"), 3);
}
