//! Who the client is, where proxies stand between, by IPv6: the PROXY protocol lends a test any address.

use serde_json::json;

use crate::support::{Backend, Balancer, config, fields};

/// What a peer of this address says of the way, and the backend is told: the client, and the way. The
/// access line has to agree.
fn told(peer: &str, forwarded_for: &str) -> (String, Vec<String>) {
    let backend = Backend::named("one");
    let more = json!({ "proxy_protocol": true, "trusted_proxies": ["fd00::/8"] });
    let balancer = Balancer::start(config(&[&backend], more));
    let mut client = balancer.connect();
    client.send(format!("PROXY TCP6 {peer} fd00::ff 12345 80\r\n"));
    client.ask("GET", "/x", &[("X-Forwarded-For", forwarded_for)], b"");
    assert_eq!(client.read_response().status, 200);
    let asked = backend.wait_for(1);
    let real = asked.header("x-real-ip").unwrap().to_owned();
    let line = fields(&balancer.wait_for_access("/x"));
    assert!(line.contains(&("client".into(), real.clone())), "{real} in {line:?}");
    let way = asked.all("x-forwarded-for").join(",");
    (real, way.split(',').map(|hop| hop.trim().to_owned()).collect())
}

#[test]
fn the_rightmost_stranger_is_the_client_of_trusted_ipv6_proxies() {
    for (forwarded_for, client) in [
        ("203.0.113.9, 198.51.100.7, fd00::5", "198.51.100.7"),
        ("203.0.113.9, 2001:db8::7, fd00::5, fdff:1::2", "2001:db8::7"),
        ("fd00::5, 198.51.100.7", "198.51.100.7"),
        // Loopback is trusted by default and no longer where the list is another one.
        ("198.51.100.7, ::1", "::1"),
    ] {
        let (real, way) = told("fd00::1", forwarded_for);
        assert_eq!(real, client, "{forwarded_for}");
        assert_eq!(way.join(", "), format!("{forwarded_for}, fd00::1"));
    }
}

#[test]
fn an_ipv6_stranger_is_the_client_whatever_it_says() {
    for peer in ["fe00::1", "2001:db8::1"] {
        let (real, way) = told(peer, "203.0.113.9, 198.51.100.7, fd00::5");
        assert_eq!((real.as_str(), way), (peer, vec![peer.to_owned()]));
    }
}
