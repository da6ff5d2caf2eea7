//! Lists in which the first network that matches decides, as `allow` and `deny`, of which `deny` always wins.

use std::net::IpAddr;

use ipnet::IpNet;

/// A rest in more pieces than this is no longer for people to read.
const MOST_PIECES: usize = 64;

/// Networks that were written in a file, without those that can't be read.
fn read(networks: &[String]) -> Vec<IpNet> {
    networks.iter().filter_map(|text| read_one(text)).collect()
}

fn read_one(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(|it| it.trunc())
}

/// What is left of a network without these others, in as few networks as possible; empty if they cover it.
/// `None` if that are too many to write down. A network that can't be read is left as it is.
pub fn without(network: &str, others: &[String]) -> Option<Vec<String>> {
    let Some(whole) = read_one(network) else { return Some(vec![network.to_owned()]) };
    let mut rest = vec![whole];
    for other in read(others) {
        rest = rest.into_iter().flat_map(|part| minus(part, other)).collect();
        if rest.len() > MOST_PIECES {
            return None;
        }
    }
    match rest[..] {
        [one] if one == whole => Some(vec![network.to_owned()]),
        _ => Some(rest.iter().map(IpNet::to_string).collect()),
    }
}

/// Whether a client can be in this network and in one of the others.
pub fn meets(network: &str, others: &[String]) -> bool {
    read_one(network)
        .is_none_or(|network| read(others).iter().any(|it| it.contains(&network) || network.contains(it)))
}

/// Whether one of these networks has all clients of this one.
pub fn covered(network: &str, others: &[String]) -> bool {
    read_one(network).is_some_and(|network| read(others).iter().any(|other| other.contains(&network)))
}

fn minus(network: IpNet, other: IpNet) -> Vec<IpNet> {
    if other.contains(&network) {
        return Vec::new();
    }
    if !network.contains(&other) {
        return vec![network];
    }
    // The half in which the other one lies is halved again, until it is the other one.
    let mut rest = Vec::new();
    let mut around = network;
    while around != other {
        let Ok(halves) = around.subnets(around.prefix_len() + 1) else { break };
        for half in halves {
            if half.contains(&other) {
                around = half;
            } else {
                rest.push(half);
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn what_is_left_of_a_network() {
        let left = |network: &str, others: &[&str]| without(network, &texts(others));
        assert_eq!(left("10.0.0.0/30", &["10.0.0.1"]), Some(texts(&["10.0.0.2/31", "10.0.0.0/32"])));
        assert_eq!(left("10.0.0.0/8", &["192.0.2.1", "::1"]), Some(texts(&["10.0.0.0/8"])));
        assert_eq!(left("10.0.0.1", &["10.0.0.0/8"]), Some(Vec::new()));
        assert_eq!(left("10.0.0.0/31", &["10.0.0.0", "10.0.0.1"]), Some(Vec::new()));
        assert_eq!(left("odd", &["10.0.0.1"]), Some(texts(&["odd"])));
        assert_eq!(left("::/0", &["::1"]), None);
        assert!(meets("10.0.0.0/8", &texts(&["10.1.2.3"])) && !meets("10.0.0.0/8", &texts(&["11.0.0.0/8"])));
        assert!(covered("10.1.0.0/16", &texts(&["10.0.0.0/8"])) && !covered("odd", &texts(&["0.0.0.0/0"])));
    }

    proptest! {
        #[test]
        fn an_address_is_left_if_it_is_in_no_other(
            whole in 24_u8..=30, others in proptest::collection::vec((0_u8..=255, 25_u8..=32), 0..4), last in 0_u8..=255
        ) {
            let network = format!("10.0.0.0/{whole}");
            let others: Vec<String> = others.iter().map(|(last, length)| format!("10.0.0.{last}/{length}")).collect();
            let address = format!("10.0.0.{last}");
            let expected = covered(&address, std::slice::from_ref(&network)) && !covered(&address, &others);
            let left = without(&network, &others).expect("few pieces");
            prop_assert_eq!(covered(&address, &left), expected, "{} without {:?}", network, others);
        }
    }
}
