//! Addresses: where we listen, and whose word we believe. Nothing is looked up here; `localhost` is
//! 127.0.0.1.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use super::error::quoted;

/// What a listening address looks like, for messages.
pub(super) const LISTEN: &str = r#"an address such as "0.0.0.0:8080", "[::1]:8080" or ":8080""#;
/// What a network looks like, for messages.
pub(super) const NETWORK: &str = r#"a network such as "10.0.0.0/8", or an address"#;

/// What a list of them looks like, for messages.
pub(super) const NETWORKS: &str = r#"a list of networks such as ["10.0.0.0/8"]"#;

/// `"0.0.0.0:8080"`, `"[::1]:8080"`, `":8080"` for all IPv4 addresses, `"localhost:8080"`. Port 0 lets
/// the system choose.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = match text.rsplit_once(':') {
        Some(("", port)) => at(Ipv4Addr::UNSPECIFIED, port),
        Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
            at(Ipv4Addr::LOCALHOST, port)
        }
        _ => text.parse().ok(),
    };
    address.ok_or_else(|| format!("{} is not an address and port; write {LISTEN}", quoted(text)))
}

fn at(ip: Ipv4Addr, port: &str) -> Option<SocketAddr> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|_| digits)?;
    Some(SocketAddr::from((ip, port)))
}

/// A network or a single address. `10.1.2.3/8` is `10.0.0.0/8`, and IPv4 that is mapped into IPv6
/// (`::ffff:10.0.0.0/104`) is IPv4, because that is how peers are compared.
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
