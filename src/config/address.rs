//! Addresses to listen on, and networks of trusted peers. No name is looked up here; `localhost` is
//! 127.0.0.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use super::error::quoted;

/// The form of a listening address, for messages.
pub(super) const LISTEN: &str = r#"an address such as "0.0.0.0:8080", "[::1]:8080" or ":8080""#;
/// The form of a network, for messages.
pub(super) const NETWORK: &str = r#"a network such as "10.0.0.0/8", or an address"#;

/// The form of a list of networks, for messages.
pub(super) const NETWORKS: &str = r#"a list of networks such as ["10.0.0.0/8"]"#;

/// Parses `"0.0.0.0:8080"`, `"[::1]:8080"`, `"localhost:8080"`, or `":8080"` for all IPv4 and IPv6 addresses
/// (`[::]` means both families here). With port 0 the system chooses a port.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = match text.rsplit_once(':') {
        Some(("", port)) => at(Ipv6Addr::UNSPECIFIED, port),
        Some((host, port)) if host.eq_ignore_ascii_case("localhost") => at(Ipv4Addr::LOCALHOST, port),
        _ => text.parse().ok(),
    };
    address.ok_or_else(|| format!("{} is not an address and port; write {LISTEN}", quoted(text)))
}

fn at(ip: impl Into<IpAddr>, port: &str) -> Option<SocketAddr> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|_| digits)?;
    Some(SocketAddr::from((ip.into(), port)))
}

/// Parses a network or a single address. `10.1.2.3/8` becomes `10.0.0.0/8`, and IPv4-mapped IPv6
/// (`::ffff:10.0.0.0/104`) becomes IPv4, because peers are compared in that form.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse().ok().or_else(single);
    network
        .map(|network| unmapped(network).trunc())
        .ok_or_else(|| format!("{} is not a network; write {NETWORK}", quoted(text)))
}

fn unmapped(network: IpNet) -> IpNet {
    const MAPPED_PREFIX_BITS: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let bits = v6.prefix_len().checked_sub(MAPPED_PREFIX_BITS);
    match (v6.addr().to_ipv4_mapped(), bits) {
        (Some(address), Some(bits)) => Ipv4Net::new(address, bits).map_or(network, IpNet::V4),
        _ => network,
    }
}

/// Whether two addresses overlap: `[::]` covers both families, `0.0.0.0` covers IPv4.
pub(super) fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let has = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    let overlap = one.ip() == other.ip() || has(one.ip(), other.ip()) || has(other.ip(), one.ip());
    overlap && one.port() == other.port() && one.port() != 0
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_listeners_clash_where_one_has_the_other_s_address() {
        for (one, other, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            assert_eq!(super::clash(one.parse().unwrap(), other.parse().unwrap()), expected, "{one} {other}");
        }
    }

    #[test]
    fn listening_addresses_have_a_port_and_may_leave_out_the_host() {
        let check = |text: &str, expected: Option<&str>| {
            let address = super::listen(text).ok().map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
        };
        check("0.0.0.0:8080", Some("0.0.0.0:8080"));
        check("[::1]:8080", Some("[::1]:8080"));
        check(":8080", Some("[::]:8080"));
        check("LocalHost:0", Some("127.0.0.1:0"));
        for wrong in ["", ":", "8080", ":+80", ":65536", "::1:80", "example.com:80", "[::1]", "1.2.3:4"] {
            check(wrong, None);
        }
    }

    #[test]
    fn networks_are_canonical() {
        let check = |text: &str, expected: Option<&str>| {
            let network = super::network(text).ok().map(|network| network.to_string());
            assert_eq!(network.as_deref(), expected, "{text}");
        };
        check("10.0.0.0/8", Some("10.0.0.0/8"));
        check("10.1.2.3/8", Some("10.0.0.0/8"));
        check("10.0.0.1", Some("10.0.0.1/32"));
        check("::1", Some("::1/128"));
        check("::ffff:10.0.0.1", Some("10.0.0.1/32"));
        check("::ffff:10.0.0.0/104", Some("10.0.0.0/8"));
        check("::ffff:0:0/96", Some("0.0.0.0/0"));
        check("::/0", Some("::/0"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0", "localhost", "10.0.0.0/", "/8"] {
            check(wrong, None);
        }
    }
}
