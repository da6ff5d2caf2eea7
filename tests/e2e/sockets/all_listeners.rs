//! The plain, the TLS and the admin listener of one balancer: what a reload can't move, what a renewal
//! takes over, and where the admin one may be.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Admin, Authority, Backend, Balancer, Run, Signal, TlsClient, config, fields};

/// A balancer with all three, each on a free port.
struct All {
    admin: Admin,
    tls: SocketAddr,
    authority: Authority,
    config: Value,
    _folder: TempDir,
}

impl All {
    fn start(backend: &Backend) -> All {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let more = json!({ "tls": authority.listener(), "admin": { "listen": "127.0.0.1:0" } });
        let config = config(&[backend], more);
        let admin = Admin::over(config.clone());
        let tls = admin.balancer.address_as("tls");
        All { admin, tls, authority, config, _folder: folder }
    }

    fn balancer(&self) -> &Balancer {
        &self.admin.balancer
    }

    /// Each where it was at the start.
    fn assert_all_answer(&self, text: &str) {
        assert_eq!(self.balancer().get("/plain").text(), text);
        let mut client = TlsClient::connect(self.tls, "localhost", &self.authority).unwrap();
        assert!(client.get("/tls").ends_with(text));
        assert_eq!(self.admin.ask("GET", "/backends", &[]).status, 200);
    }
}

#[test]
fn tls_listen_and_admin_need_a_restart_and_the_log_says_so() {
    let backend = Backend::named("one");
    let all = All::start(&backend);
    all.assert_all_answer("one");
    let mut new = all.config.clone();
    new["tls"]["listen"] = json!("127.0.0.1:1");
    new["admin"] = json!({ "listen": "127.0.0.1:2", "token": "s3cret" });
    all.balancer().write_config(&new.to_string());
    all.balancer().wait_for_log("configuration reloaded");
    let named: Vec<String> = all
        .balancer()
        .log_lines_with("needs a restart")
        .iter()
        .flat_map(|line| fields(line))
        .filter_map(|(name, value)| (name == "field").then_some(value))
        .collect();
    assert_eq!(named, ["admin", "tls.listen"]);
    all.assert_all_answer("one");
    assert!(all.balancer().log_lines().iter().all(|line| !line.contains("s3cret")));
}

#[test]
fn a_renewal_takes_over_all_listeners() {
    let backend = Backend::named("one");
    let all = All::start(&backend);
    all.balancer().signal(Signal::USR2);
    all.balancer().wait_for_log("another process has taken over");
    all.balancer().wait_for_log("msg=\"stopped\"");
    all.assert_all_answer("one");
    assert_eq!(backend.asked().len(), 2);
    let account = all.balancer().wait_for_log("msg=\"stopped\"");
    assert!(account.contains("cut=0"), "{account}");
}

#[test]
fn an_admin_listener_that_others_can_reach_needs_a_token() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let open = json!({ "listen": "127.0.0.1:0", "admin": { "listen": listen } });
        for run in [Run::of(["check"]).file(&open.to_string()), Run::with(&open)] {
            let run = run.output();
            assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
            assert!(run.stderr.contains("admin.token"), "{run:?}");
            assert!(run.stderr.contains("not loopback"), "{run:?}");
        }
        let mut closed = open.clone();
        closed["admin"]["token"] = json!("s3cret");
        let run = Run::of(["check"]).file(&closed.to_string()).output();
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}
