//! `https` backends whose configuration names no `ca`: the system's roots decide.

use serde_json::json;

use crate::support::{Authority, Backend, Balancer, Run, config, eventually};

#[test]
fn the_system_s_roots_decide_where_no_ca_is_named() {
    let (folder, stranger) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (authority, stranger) = (Authority::new(folder.path()), Authority::new(stranger.path()));
    let backend = Backend::named("from behind tls");
    let inner = Balancer::start(config(&[&backend], json!({ "tls": authority.listener() })));
    let url = format!("https://localhost:{}", inner.address_as("tls").port());
    let outer = || {
        let more = json!({ "backends": [{ "url": url }], "retry": { "max_retries": 0 } });
        Run::with(&config(&[], more))
    };
    // Where OpenSSL's variable points is the system's store.
    let trusting = outer().env("SSL_CERT_FILE", &authority.file()).start().once_probed();
    assert_eq!(trusting.states(), ["healthy"]);
    for _ in 0..3 {
        assert_eq!(trusting.get("/").text(), "from behind tls");
    }
    let distrusting = outer().env("SSL_CERT_FILE", &stranger.file()).start();
    distrusting.wait_for_states(&["unhealthy"]);
    let line = distrusting.wait_for_log("backend marked UNHEALTHY");
    assert!(line.contains("invalid peer certificate"), "{line}");
    assert_eq!(distrusting.get("/").status, 503);
    assert_eq!(backend.asked().len(), 3, "nothing was told to whom nobody vouches for");
}

/// What asks about logins is verified as backends are.
#[test]
fn a_service_that_is_asked_about_logins_by_https_has_roots_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (login, backend) = (Backend::named("let pass"), Backend::named("inside"));
    let inner = Balancer::start(config(&[&login], json!({ "tls": authority.listener() })));
    let url = format!("https://localhost:{}/verify", inner.address_as("tls").port());
    let routes =
        |ca: &str| json!({ "routes": [{ "pool": "default", "forward_auth": { "url": url, "ca": ca } }] });
    let outer = Balancer::start(config(&[&backend], routes(&authority.file())));
    assert_eq!(outer.get("/").text(), "inside");
    assert_eq!(login.asked()[0].target(), "/verify");
    // Another file is another service: nothing that was known of the first one is used for it.
    let stranger = tempfile::tempdir().unwrap();
    let stranger = Authority::new(stranger.path());
    outer.write_config(&config(&[&backend], routes(&stranger.file())).to_string());
    outer.wait_for_log("configuration reloaded");
    let answer = outer.get("/");
    assert_eq!((answer.status, answer.header("x-lb-reason")), (503, Some("auth_unavailable")));
    assert_eq!(login.asked().len(), 1);
}

#[test]
fn a_new_authority_is_believed_by_requests_as_by_probes() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let backend = Backend::named("from behind tls");
    let inner = Balancer::start(config(&[&backend], json!({ "tls": authority.listener() })));
    let url = format!("https://localhost:{}", inner.address_as("tls").port());
    let outer = Balancer::start(config(
        &[],
        json!({
            "backends": [{ "url": url, "ca": authority.file() }],
            "limits": { "max_idle_per_backend": 0 },
            "retry": { "max_retries": 0 },
            "circuit_breaker": { "enabled": false },
        }),
    ));
    assert_eq!(outer.get("/").text(), "from behind tls");
    let second = Authority::new(folder.path());
    second.listener();
    inner.wait_for_log("certificates were read again");
    outer.wait_for_log("configuration reloaded");
    eventually("the new authority is believed", || outer.get("/").status == 200);
    outer.wait_for_states(&["healthy"]);
    assert_eq!(outer.get("/").text(), "from behind tls");
}
