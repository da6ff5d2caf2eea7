//! Detects addresses that are the balancer's own listeners. Pure, except for finding out which addresses
//! belong to this machine.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::config::Config;

/// The configuration field of the listener that this address leads to.
pub fn at(
    config: &Config,
    address: SocketAddr,
    is_this_machine: impl Fn(IpAddr) -> bool,
) -> Option<&'static str> {
    let tls = config.tls.iter().flat_map(|tls| &tls.listen);
    let tls = tls.filter_map(|listen| Some(("tls.listen", listen.tcp()?)));
    let admin = config.admin.as_ref().map(|admin| ("admin.listen", admin.listen));
    let plain = config.listen.iter().filter_map(|listen| Some(("listen", listen.tcp()?)));
    let mut all = plain.chain(tls).chain(admin);
    all.find(|(_, listen)| leads_to(address, *listen, &is_this_machine)).map(|(name, _)| name)
}

fn leads_to(address: SocketAddr, listen: SocketAddr, is_this_machine: &impl Fn(IpAddr) -> bool) -> bool {
    if listen.port() == 0 || address.port() != listen.port() {
        return false;
    }
    let (ip, listening) = (address.ip().to_canonical(), listen.ip().to_canonical());
    // On Linux, `[::]` accepts IPv4, too.
    let is_heard = listening.is_ipv6() || ip.is_ipv4();
    match listening.is_unspecified() {
        // 0.0.0.0 as a destination means this machine.
        true => is_heard && (ip.is_unspecified() || is_this_machine(ip)),
        false => ip == listening || (ip.is_unspecified() && listening.is_loopback()),
    }
}

/// Asks the system: a socket can only be bound to an address of this machine. Sends nothing.
pub fn is_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn check(listen: &str, address: &str, expected: bool) {
        let text = format!(r#"{{ "listen": "{listen}", "admin": {{ "listen": "127.0.0.1:9" }} }}"#);
        let config = parse(&text, &Overrides::default()).unwrap();
        let is_ours = |ip: IpAddr| ip.is_loopback() || ip == IpAddr::from([192, 0, 2, 1]);
        let found = at(&config, address.parse().unwrap(), is_ours);
        assert_eq!(found, expected.then_some("listen"), "{address} and {listen}");
    }

    #[test]
    fn every_way_to_a_listener_is_known() {
        check("0.0.0.0:8080", "127.0.0.1:8080", true);
        check("0.0.0.0:8080", "192.0.2.1:8080", true);
        check("0.0.0.0:8080", "0.0.0.0:8080", true);
        check("127.0.0.1:8080", "127.0.0.1:8080", true);
        check("[::]:8080", "[::1]:8080", true);
        check("[::]:8080", "127.0.0.1:8080", true);
        check("0.0.0.0:8080", "127.0.0.1:8081", false);
        check("0.0.0.0:8080", "192.0.2.2:8080", false);
        check("0.0.0.0:8080", "[::1]:8080", false);
        check("127.0.0.1:8080", "192.0.2.1:8080", false);
        check("127.0.0.1:0", "127.0.0.1:8080", false);
    }

    #[test]
    fn the_admin_listener_is_one_too() {
        let config = parse(r#"{ "admin": { "listen": "127.0.0.1:9" } }"#, &Overrides::default()).unwrap();
        assert_eq!(at(&config, "127.0.0.1:9".parse().unwrap(), |_| true), Some("admin.listen"));
    }

    #[test]
    fn this_machine_has_a_loopback_and_no_documentation_addresses() {
        assert!(is_this_machine(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_this_machine(IpAddr::from([192, 0, 2, 1])));
    }
}
