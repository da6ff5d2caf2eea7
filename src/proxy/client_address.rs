//! The client's address behind trusted proxies. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::http::Headers;

/// Whether forwarding fields sent by this address are trusted.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// The client's address: the peer's, or, if the peer is trusted, the rightmost address in `X-Forwarded-For`
/// that is not itself trusted. If all are trusted, the leftmost; if one can't be parsed, the one to its
/// right, because the unreadable one was not written by a trusted proxy.
pub fn client_address(peer: IpAddr, headers: &Headers, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    let hops: Vec<&[u8]> = headers.tokens("x-forwarded-for").collect();
    for hop in hops.into_iter().rev() {
        let Some(address) = parse(hop) else { break };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// Parses an address with an optional port, as proxies write it: `192.0.2.1`, `192.0.2.1:4711`, `::1`,
/// `[::1]`, `[::1]:4711`.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> Vec<IpNet> {
        vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]
    }

    fn check(peer: &str, forwarded: &[&str], client: &str) {
        let mut headers = Headers::default();
        for value in forwarded {
            headers.push("X-Forwarded-For", value.as_bytes());
        }
        let found = client_address(peer.parse().unwrap(), &headers, &trusted());
        assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        check("192.0.2.1", &["1.1.1.1"], "192.0.2.1");
        check("::ffff:192.0.2.1", &[], "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_stranger_is_the_client() {
        check("127.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.9"], "1.1.1.1");
        check("127.0.0.1", &["6.6.6.6", "1.1.1.1,10.0.0.9"], "1.1.1.1");
        check("::ffff:127.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1");
        check("::1", &["1.1.1.1:4711"], "1.1.1.1");
    }

    #[test]
    fn with_nothing_to_believe_the_nearest_known_counts() {
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1");
        check("127.0.0.1", &["1.1.1.1, unknown, 10.2.2.2"], "10.2.2.2");
        check("127.0.0.1", &["nonsense"], "127.0.0.1");
    }

    proptest! {
        /// Whatever an untrusted client prepends, its own address is found.
        #[test]
        fn a_client_can_not_choose_its_address(forged in "[ -~]{0,40}") {
            check("127.0.0.1", &[&forged, "1.1.1.1"], "1.1.1.1");
            check("127.0.0.1", &[&format!("{forged},1.1.1.1")], "1.1.1.1");
        }
    }
}
