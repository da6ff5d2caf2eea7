//! `packaging/roll`: an application is restarted backend by backend, and nobody notices.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use serde_json::json;

use crate::support::{Admin, Backend, Process, Stop, config, eventually, skip};

/// The script with this admin listener; what it runs asks for a restart by a file of the port's name, and
/// waits until that is gone.
fn roll(admin: &Admin, folder: &Path) -> Process {
    let restart = "port=${2##*:}; touch \"$1/$port\"; while [ -e \"$1/$port\" ]; do sleep 0.02; done";
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/roll"));
    command.args(["sh", "-c", restart, "restart"]).arg(folder);
    command.env("ADMIN", format!("http://{}", admin.address)).env("PATIENCE", "20");
    Process::spawn(command)
}

#[test]
fn no_request_is_lost_not_even_a_post() {
    if Command::new("curl").arg("--version").output().is_err() {
        skip("no curl here");
        return;
    }
    let mut backends = ["0", "1", "2"].map(Backend::named);
    let admin = Admin::over(config(&backends.each_ref(), json!({ "admin": { "listen": "127.0.0.1:0" } })));
    let folder = tempfile::tempdir().unwrap();
    let (stop, answered) = (Stop::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        let stopping = stop.at_the_end();
        let ask = || {
            while !stop.is_set() {
                assert_eq!(admin.balancer.ask("POST", "/", &[], b"x").status, 200);
                answered.fetch_add(1, Relaxed);
            }
        };
        let askers = [scope.spawn(ask), scope.spawn(ask)];
        let mut rolling = roll(&admin, folder.path());
        for backend in &mut backends {
            let wanted = folder.path().join(backend.address().port().to_string());
            eventually("a backend is to be restarted", || wanted.exists());
            // At once: it has nothing to do any more.
            backend.stop();
            backend.restart();
            std::fs::remove_file(wanted).unwrap();
        }
        let status = rolling.wait_exit();
        assert!(status.success(), "{:?}", rolling.stderr());
        assert_eq!(rolling.stdout().len(), 9, "{:?}", rolling.stdout());
        let before = answered.load(Relaxed);
        eventually("answers go on", || answered.load(Relaxed) > before);
        drop(stopping);
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });
    assert_eq!(admin.balancer.states(), ["healthy"; 3]);
    assert_eq!(admin.balancer.metrics()["retry_attempts"], 0, "no attempt failed");
}

#[test]
fn what_fails_ends_it_and_the_backend_stays_drained() {
    if Command::new("curl").arg("--version").output().is_err() {
        skip("no curl here");
        return;
    }
    let backends = ["0", "1"].map(Backend::named);
    let admin = Admin::on_loopback(&backends.each_ref());
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/roll"));
    command.arg("false").env("ADMIN", format!("http://{}", admin.address));
    assert_eq!(Process::spawn(command).finish().code, Some(1));
    let mut states = admin.balancer.states();
    states.sort();
    assert_eq!(states, ["draining", "healthy"]);
}
