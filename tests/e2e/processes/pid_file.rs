//! `--pid-file`: it names the process that signals go to, and nobody else's is touched.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Backend, Balancer, Run, Signal, config, eventually};

fn with_pid_file(folder: &TempDir, backend: &Backend, listen: &str) -> Run {
    let file = folder.path().join("lb.json");
    std::fs::write(&file, config(&[backend], json!({ "listen": listen })).to_string()).unwrap();
    Run::of(["-config"]).arg(file).arg("--pid-file").arg(folder.path().join("lb.pid"))
}

fn told(folder: &TempDir) -> Option<u32> {
    let text = std::fs::read_to_string(folder.path().join("lb.pid")).ok()?;
    Some(text.strip_suffix('\n').expect("a whole line").parse().expect("a number"))
}

fn names(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn it_is_there_while_the_balancer_serves_and_gone_after_a_drain() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    // One of a process that was killed.
    std::fs::write(folder.path().join("lb.pid"), "1\n").unwrap();
    let mut balancer = with_pid_file(&folder, &backend, "127.0.0.1:0").start();
    assert_eq!(told(&folder), Some(balancer.pid()));
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!((told(&folder), names(folder.path())), (None, 1));
}

#[test]
fn it_names_the_same_process_through_every_renewal() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    let mut balancer = with_pid_file(&folder, &backend, "127.0.0.1:0").start();
    let first = balancer.pid();
    for number in 1..=2 {
        balancer.signal(Signal::USR2);
        eventually("another process has taken over", || balancer.process().successors().len() == number);
        eventually("the one before has drained", || {
            balancer.log_lines_with("msg=\"stopped\"").len() == number
        });
        assert_eq!(told(&folder), Some(first));
        assert_eq!(balancer.get("/").text(), "a");
    }
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_exit().code(), Some(0));
    assert_eq!((told(&folder), names(folder.path())), (None, 1));
}

#[test]
fn a_renewal_that_fails_leaves_it_as_it_was() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    let balancer = with_pid_file(&folder, &backend, "127.0.0.1:0").start();
    std::fs::write(folder.path().join("lb.json"), "{").unwrap();
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("renewal failed, this process goes on");
    assert_eq!(told(&folder), Some(balancer.pid()));
}

#[test]
fn who_can_not_listen_leaves_another_s_file_alone() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    let serving: Balancer = with_pid_file(&folder, &backend, "127.0.0.1:0").start();
    let run = with_pid_file(&folder, &backend, &serving.address().to_string()).output();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(told(&folder), Some(serving.pid()));
}

#[test]
fn a_place_where_it_can_not_be_is_said() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("a"));
    let text = config(&[&backend], json!({})).to_string();
    for place in ["no/such/folder/lb.pid", "."] {
        let place = folder.path().join(place);
        let run = Run::of(["--pid-file"]).arg(&place).arg("--config").file(&text).output();
        assert_eq!(run.code, Some(1), "{run:?}");
        let expected = format!("--pid-file {}: cannot be written: ", place.display());
        assert!(run.stderr.contains(&expected), "{run:?}");
    }
}
