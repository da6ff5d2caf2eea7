//! `pages`: who may read the balancer's own pages, `/lb-metrics` and `/lb-dashboard`, on the public
//! listeners. They reveal backends and load, which strangers should not see.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::address;
use super::raw::{Scalar, Value};
use super::read::{list, text};

/// The accepted forms, for messages.
const PAGES: &str = r#"true, false, or a list of networks such as ["10.0.0.0/8"]"#;

/// Loopback, private and link-local networks, which are never public (RFC 1918, 3927, 4193 and 4291).
const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// Who may read the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pages {
    /// Everybody: `true`.
    All,
    /// Nobody: `false`.
    Nobody,
    /// Clients with an address in one of these networks.
    Only(Vec<IpNet>),
}

impl Pages {
    /// Whether this client may read them.
    pub fn admit(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        match self {
            Pages::All => true,
            Pages::Nobody => false,
            Pages::Only(networks) => networks.iter().any(|network| network.contains(&client)),
        }
    }

    /// Loopback and private networks.
    pub(super) fn private() -> Pages {
        Pages::Only(PRIVATE.iter().filter_map(|network| network.parse().ok()).collect())
    }
}

impl Serialize for Pages {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Pages::All => to.serialize_bool(true),
            Pages::Nobody => to.serialize_bool(false),
            Pages::Only(networks) => networks.serialize(to),
        }
    }
}

/// Reads `pages`.
pub(super) fn pages(value: &Value<'_>) -> Result<Pages, String> {
    match value.scalar() {
        Scalar::Bool(true) => Ok(Pages::All),
        Scalar::Bool(false) => Ok(Pages::Nobody),
        _ => list(PAGES, text(address::NETWORK, address::network))(value).map(Pages::Only),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_all_there_and_the_internet_is_none_of_them() {
        let pages = Pages::private();
        let check = |address: &str, expected: bool| {
            assert_eq!(pages.admit(address.parse().unwrap()), expected, "{address}");
        };
        for address in ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.31.0.1", "192.168.1.1"] {
            check(address, true);
        }
        for address in ["169.254.1.1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"] {
            check(address, true);
        }
        for address in ["192.0.2.1", "172.32.0.1", "2001:db8::1", "::ffff:192.0.2.1", "8.8.8.8"] {
            check(address, false);
        }
        assert!(Pages::All.admit("192.0.2.1".parse().unwrap()));
        assert!(!Pages::Nobody.admit("127.0.0.1".parse().unwrap()));
    }
}
