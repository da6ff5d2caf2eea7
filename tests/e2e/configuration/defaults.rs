//! What holds where nothing is said: no file at all, an empty one, and listeners without an address.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Authority, Finished, Run};

/// What `check` prints; it has to be content.
#[track_caller]
fn checked(run: Run) -> Value {
    let Finished { code, stdout, stderr } = run.output();
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

#[test]
fn without_a_file_it_balances_over_three_local_backends() {
    let balancer = Run::of([]).env("LB_LISTEN", "127.0.0.1:0").start();
    let page = balancer.metrics();
    let urls: Vec<&Value> = page["backends"].as_array().unwrap().iter().map(|it| &it["url"]).collect();
    assert_eq!(urls, ["http://localhost:3001", "http://localhost:3002", "http://localhost:3003"]);
    assert_eq!((&page["total_backends"], &page["algorithm"]), (&json!(3), &json!("round_robin")));
}

#[test]
fn an_empty_file_is_the_one_at_the_top_of_the_repository() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.json");
    let text = std::fs::read_to_string(&shipped).unwrap();
    let empty = checked(Run::of(["check"]).file("{}"));
    assert_eq!(empty, checked(Run::of(["check"]).arg(&shipped)));
    assert_eq!(empty, serde_json::from_str::<Value>(&text).unwrap(), "which says every default");
}

#[test]
fn an_admin_listener_is_on_loopback_unless_it_says_otherwise() {
    let page = checked(Run::of(["check"]).file(r#"{ "admin": {} }"#));
    assert_eq!(page["admin"], json!({ "listen": "127.0.0.1:9090", "token": null }));
}

#[test]
fn a_tls_listener_is_on_8443_unless_it_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let mut tls = Authority::new(folder.path()).listener();
    tls.as_object_mut().unwrap().remove("listen");
    let page = checked(Run::of(["check"]).file(&json!({ "tls": tls }).to_string()));
    assert_eq!(page["tls"]["listen"], "0.0.0.0:8443");
    assert_eq!(page["tls"]["redirect_http"], false);
}

#[test]
fn check_reads_lb_config_unless_a_file_is_named() {
    let text = r#"{ "algorithm": "least_conn" }"#;
    assert_eq!(checked(Run::of(["check"]).env_file("LB_CONFIG", text))["algorithm"], "least_conn");
    let named = Run::of(["check"]).file(r#"{ "workers": 3 }"#).env("LB_CONFIG", "/no/such/file");
    assert_eq!(checked(named)["workers"], 3);
    let missing = Run::of(["check"]).env("LB_CONFIG", "/no/such/file").output();
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("/no/such/file"), "{missing:?}");
}
