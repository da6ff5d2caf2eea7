//! Chooses one of a route's pools for a client: always the same one, in every process and for any order of
//! the pools. When shares change, only as many clients move as necessary. Weighted rendezvous hashing, as in
//! `balance::consistent_hash`.

use std::net::IpAddr;

use md5::{Digest, Md5};

use crate::balance::rendezvous::{mixed, uniform};

/// One pool of a route.
#[derive(Debug)]
pub(super) struct Choice {
    rules: usize,
    digest: u64,
    share: f64,
}

impl Choice {
    pub fn new(rules: usize, pool: &str, share: u32) -> Choice {
        Choice { rules, digest: digest(pool.as_bytes()), share: f64::from(share) }
    }
}

/// The number of the chosen rules; `None` if there are no choices.
pub(super) fn choose(choices: &[Choice], client: IpAddr) -> Option<usize> {
    if let [only] = choices {
        return Some(only.rules);
    }
    let key = digest(client.to_string().as_bytes());
    let score = |choice: &Choice| choice.share / -uniform(mixed(key ^ choice.digest)).ln();
    let scored =
        choices.iter().filter(|choice| choice.share > 0.0).map(|choice| (choice.rules, score(choice)));
    scored.max_by(|one, other| one.1.total_cmp(&other.1)).map(|(rules, _)| rules)
}

/// A digest that is the same in every process.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    u128::from_be_bytes(Md5::digest(bytes).into()) as u64
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn sides(shares: [(&str, u32); 2]) -> Vec<usize> {
        let choices: Vec<_> = shares
            .iter()
            .map(|(pool, share)| Choice::new(usize::from(*pool == "canary"), pool, *share))
            .collect();
        (0..20_000).map(|number| choose(&choices, Ipv4Addr::from_bits(number).into()).unwrap()).collect()
    }

    #[test]
    fn clients_have_their_side_and_few_move_when_shares_change() {
        let before = sides([("stable", 95), ("canary", 5)]);
        let share = before.iter().sum::<usize>() as f64 / before.len() as f64;
        assert!((0.045..0.055).contains(&share), "{share}");
        assert_eq!(sides([("canary", 5), ("stable", 95)]), before, "whatever their order");
        let after = sides([("stable", 90), ("canary", 10)]);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count() as f64;
        assert!((0.04..0.06).contains(&(moved / before.len() as f64)), "{moved}");
        assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "nobody leaves the canary");
        assert_eq!(sides([("stable", 1), ("canary", 0)]).iter().sum::<usize>(), 0);
    }
}
