//! `packaging/roll`: an application is restarted backend by backend, and nobody notices.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use serde_json::json;

use crate::support::{
    Admin, Authority, Backend, Balancer, Finished, Process, Stop, config, eventually, skip,
};

/// The script with this admin listener; what it runs asks for a restart by a file of the port's name, and
/// waits until that is gone.
fn roll(admin: &Admin, folder: &Path) -> Process {
    let restart = "port=${2##*:}; touch \"$1/$port\"; while [ -e \"$1/$port\" ]; do sleep 0.02; done";
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/roll"));
    command.args(["sh", "-c", restart, "restart"]).arg(folder);
    command.env("ADMIN", format!("http://{}", admin.address)).env("PATIENCE", "20");
    Process::spawn(command)
}

/// The script over the balancers of these admin listeners, with this command and patience.
fn rolled(admins: &[&Admin], patience: &str, command: &[&str]) -> Finished {
    let all: Vec<String> = admins.iter().map(|admin| format!("http://{}", admin.address)).collect();
    let mut roll = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/roll"));
    roll.args(command).env("ADMIN", all.join(" ")).env("PATIENCE", patience);
    Process::spawn(roll).finish()
}

fn has_curl() -> bool {
    let has = Command::new("curl").arg("--version").output().is_ok();
    if !has {
        skip("no curl here");
    }
    has
}

#[test]
fn no_request_is_lost_not_even_a_post() {
    if !has_curl() {
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
    if !has_curl() {
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

/// What curl could not ask from where the script runs, the balancer's probes can.
#[test]
fn unix_sockets_and_private_authorities_are_rolled() {
    if !has_curl() {
        return;
    }
    let (folder, backend) = (tempfile::tempdir().unwrap(), Backend::named("behind both"));
    let (authority, socket) = (Authority::new(folder.path()), folder.path().join("app.sock"));
    let unix = format!("unix:{}", socket.display());
    let more = json!({ "listen": ["127.0.0.1:0", unix], "tls": authority.listener() });
    let application = Balancer::start(config(&[&backend], more));
    let https = format!("https://localhost:{}", application.address_as("tls").port());
    let admin = Admin::over(config(
        &[],
        json!({
            "backends": [{ "url": unix }, { "url": https, "ca": authority.file() }],
            "admin": { "listen": "127.0.0.1:0" },
        }),
    ));
    let run = rolled(&[&admin], "20", &["true"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for url in [&unix, &https] {
        assert!(run.stdout.contains(&format!("{url}: has requests again")), "{run:?}");
    }
    assert_eq!(admin.balancer.states(), ["healthy"; 2]);
}

#[test]
fn a_health_check_s_own_port_is_the_one_that_counts() {
    if !has_curl() {
        return;
    }
    let (backend, mut elsewhere) = (Backend::named("app"), Backend::named("its health"));
    // What it says at its own port does not matter.
    backend.set_healthy(false);
    let more = json!({
        "health_check": { "port": elsewhere.address().port() },
        "admin": { "listen": "127.0.0.1:0" },
    });
    let admin = Admin::over(config(&[&backend], more));
    let run = rolled(&[&admin], "20", &["true"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    elsewhere.stop();
    let run = rolled(&[&admin], "1", &["true"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("waited 1 s in vain until it passed its"), "{run:?}");
    assert_eq!(admin.balancer.states(), ["draining"], "it stays drained");
}

#[test]
fn every_balancer_is_told_before_the_command_runs() {
    if !has_curl() {
        return;
    }
    let backends = ["0", "1"].map(Backend::named);
    let admins = [0, 1].map(|_| Admin::on_loopback(&backends.each_ref()));
    let draining = "for admin in $ADMIN; do curl -s $admin/backends | grep -A2 \"\\\"$1\\\"\" | \
                    grep -q draining || exit 1; done";
    let run = rolled(&admins.each_ref(), "20", &["sh", "-c", draining, "check"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout.lines().filter(|line| line.ends_with("has requests again")).count(), 2);
    for admin in &admins {
        assert_eq!(admin.balancer.states(), ["healthy"; 2]);
        assert_eq!(admin.balancer.log_lines_with("backend set by hand").len(), 4);
    }
}

#[test]
fn balancers_that_differ_are_left_alone_and_bad_variables_are_named() {
    if !has_curl() {
        return;
    }
    let backends = ["0", "1"].map(Backend::named);
    let admins = [Admin::on_loopback(&backends.each_ref()), Admin::on_loopback(&[&backends[0]])];
    let run = rolled(&admins.each_ref(), "20", &["true"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("have different backends"), "{run:?}");
    for admin in &admins {
        assert_eq!(admin.balancer.log_lines_with("backend set by hand"), Vec::<String>::new());
    }
    let run = rolled(&admins.each_ref(), "a minute", &["true"]);
    assert!(run.code == Some(1) && run.stderr.contains("PATIENCE is a number of seconds"), "{run:?}");
    let run = rolled(&[], "20", &[]);
    assert!(run.code == Some(2) && run.stderr.contains("usage"), "{run:?}");
    let run = Process::spawn({
        let mut roll = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/roll"));
        roll.arg("true").env("ADMIN", " ");
        roll
    });
    let run = run.finish();
    assert!(run.code == Some(1) && run.stderr.contains("ADMIN names no admin listener"), "{run:?}");
}
