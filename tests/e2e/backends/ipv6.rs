//! The same by IPv6: the listener, a backend, the trusted proxy and the admin listener.

use serde_json::{Value, json};

use crate::support::{Admin, Backend, Balancer, Client, Signal, config, skip};

/// A backend on `::1`; where this machine has none, the test is skipped.
fn backend() -> Option<Backend> {
    let backend = Backend::on("[::1]:0".parse().unwrap(), "six");
    if backend.is_none() {
        skip("this machine has no ::1");
    }
    backend
}

fn of(backend: &Backend, more: Value) -> Value {
    let mut config = config(&[backend], more);
    config["listen"] = json!("[::1]:0");
    config
}

#[test]
fn a_proxy_on_loopback_is_believed_and_a_stranger_is_not() {
    let Some(backend) = backend() else { return };
    assert_eq!(backend.url(), format!("http://[::1]:{}", backend.address().port()));
    let forged = [("X-Forwarded-For", "2001:db8::9")];
    let (believing, doubting) = (
        Balancer::start(of(&backend, json!({}))),
        Balancer::start(of(&backend, json!({ "trusted_proxies": ["127.0.0.0/8"] }))),
    );
    assert!(believing.address().is_ipv6());
    for (number, (balancer, chain, client)) in
        [(&believing, "2001:db8::9, ::1", "2001:db8::9"), (&doubting, "::1", "::1")].into_iter().enumerate()
    {
        assert_eq!(balancer.ask("GET", "/path", &forged, b"").text(), "six");
        let asked = backend.wait_for(number + 1);
        assert_eq!(asked.all("x-forwarded-for"), [chain]);
        assert_eq!(asked.all("x-real-ip"), [client]);
        let line = balancer.wait_for_access("/path");
        assert!(line.contains(&format!(" client={client} ")), "{line}");
        assert!(line.contains(&format!(" backend={} ", backend.url())), "{line}");
    }
}

#[test]
fn a_backend_is_probed_there_too() {
    let Some(mut backend) = backend() else { return };
    let balancer = Balancer::start(of(&backend, json!({})));
    backend.wait_for_probes(2);
    assert_eq!(balancer.states(), ["healthy"]);
    backend.stop();
    balancer.wait_for_states(&["unhealthy"]);
}

#[test]
fn an_admin_listener_there_is_on_loopback_and_needs_no_token() {
    let Some(backend) = backend() else { return };
    let admin = Admin::over(of(&backend, json!({ "admin": { "listen": "[::1]:0" } })));
    let host = admin.address.to_string();
    assert_eq!(admin.ask("GET", "/backends", &[("Host", &host)]).status, 200);
    assert_eq!(admin.ask("GET", "/backends", &[("Host", "evil.example")]).status, 403);
}

#[test]
fn a_port_alone_is_both_families_before_and_after_a_renewal() {
    let Some(backend) = backend() else { return };
    let mut file = of(&backend, json!({}));
    file["listen"] = json!(":0");
    let balancer = Balancer::start(file);
    let port = balancer.address().port();
    assert!(balancer.address().ip().is_unspecified() && balancer.address().is_ipv6());
    let ask_both = |client: &str, address: &str| {
        let mut connection = Client::connect(format!("{address}:{port}").parse().unwrap());
        assert_eq!(connection.get(&format!("/{client}")).text(), "six", "{address}");
        let line = balancer.wait_for_access(&format!("/{client}"));
        assert!(line.contains(&format!(" client={client} ")), "{line}");
    };
    ask_both("127.0.0.1", "127.0.0.1");
    ask_both("::1", "[::1]");
    balancer.signal(Signal::USR2);
    balancer.wait_for_log("another process has taken over");
    for address in ["127.0.0.1", "[::1]"] {
        let mut connection = Client::connect(format!("{address}:{port}").parse().unwrap());
        assert_eq!(connection.get("/after").text(), "six", "{address}");
    }
    assert!(balancer.log_lines_with("inherited").is_empty());
}
