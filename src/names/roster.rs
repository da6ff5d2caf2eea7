//! Decides which addresses of a name take requests, as answers arrive, shrink, rotate and fail. Pure.
//!
//! An answer without an address does not remove the address at once: name servers rotate, truncate and
//! forget. An absent address whose probes pass stays until several answers in a row have lacked it and one
//! probe interval has passed; for a name that rotates, until ten intervals have passed. An absent address
//! that fails is removed at once. A failed look-up changes nothing. An address that can serve is not removed
//! while no present one can.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::resolver::{Found, MAX_ENDPOINTS};
use crate::pool::Endpoint;

/// How many answers in a row must lack an address before it is removed.
const ABSENCES: u32 = 3;
/// For how many probe intervals a removed address is remembered.
const PROBES: u32 = 10;

/// How long a removed address is remembered, by its probe interval.
pub fn retention(interval: Duration) -> Duration {
    interval.saturating_mul(PROBES)
}

/// The condition of an address, by its probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Takes requests.
    Serves,
    /// Not known yet.
    Unknown,
    /// Its probes fail, or an operator has taken it out.
    Fails,
}

/// The addresses of one name.
#[derive(Debug, Default)]
pub struct Roster {
    members: Vec<Member>,
    /// Addresses that were removed, and when.
    left: Vec<(SocketAddr, Instant)>,
    /// Whether an address has come back soon after it was removed.
    rotates: bool,
    /// Why the last look-up failed.
    failure: Option<String>,
    last_answer: Option<Instant>,
    ttl: Option<Duration>,
    left_out: usize,
}

#[derive(Debug)]
struct Member {
    endpoint: Endpoint,
    /// How many answers in a row have lacked the address, and since when.
    absent: Option<(u32, Instant)>,
}

/// The effect of an answer or a look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Addresses added.
    pub came: usize,
    /// Addresses removed.
    pub gone: usize,
    /// Whether the weight or priority of a remaining address has changed.
    pub differs: bool,
}

impl Change {
    /// Whether anything has changed.
    pub fn is_any(&self) -> bool {
        self.came > 0 || self.gone > 0 || self.differs
    }
}

impl Roster {
    /// Whether the name has ever had an answer.
    pub fn is_known(&self) -> bool {
        self.last_answer.is_some()
    }

    /// The addresses that take requests, in the same order in all balancers.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.members.iter().map(|member| &member.endpoint)
    }

    /// How many of them the last answer lacked.
    pub fn absent(&self) -> usize {
        self.members.iter().filter(|member| member.absent.is_some()).count()
    }

    /// How many addresses of the last answer exceed the limit.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Why the last look-up failed.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// When the last answer arrived.
    pub fn last_answer(&self) -> Option<Instant> {
        self.last_answer
    }

    /// The TTL of the last answer, if known.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// Records an answer; returns the changes, and for the log whether the previous look-up had failed.
    pub fn answered(
        &mut self,
        found: Found,
        now: Instant,
        interval: Duration,
        condition: impl Fn(SocketAddr) -> Condition,
    ) -> (Change, bool) {
        let had_failed = self.failure.take().is_some();
        (self.last_answer, self.ttl, self.left_out) = (Some(now), found.ttl, found.left_out);
        self.left.retain(|(_, when)| now.saturating_duration_since(*when) < retention(interval));
        let mut change = Change::default();
        for member in &mut self.members {
            let said = found.endpoints.iter().find(|it| it.address == member.endpoint.address);
            match said {
                Some(endpoint) => {
                    change.differs |= *endpoint != member.endpoint;
                    member.endpoint = endpoint.clone();
                    // It has been absent for as many answers as remove an address.
                    self.rotates |= member.absent.is_some_and(|(times, _)| times >= ABSENCES);
                    member.absent = None;
                }
                None => {
                    let (times, since) = member.absent.unwrap_or((0, now));
                    member.absent = Some((times + 1, since));
                }
            }
        }
        for endpoint in found.endpoints {
            if self.members.iter().any(|member| member.endpoint.address == endpoint.address) {
                continue;
            }
            self.rotates |= self.left.iter().any(|(address, _)| *address == endpoint.address);
            self.members.push(Member { endpoint, absent: None });
            change.came += 1;
        }
        change.gone = self.let_go(now, interval, condition);
        self.bound(now, &mut change);
        self.members.sort_by_key(|member| (member.endpoint.address.is_ipv6(), member.endpoint.address));
        (change, had_failed)
    }

    /// Records a failed look-up; returns whether the previous one had not failed.
    pub fn failed(&mut self, why: String) -> bool {
        let is_news = self.failure.is_none();
        self.failure = Some(why);
        is_news
    }

    /// Removes absent addresses whose time is up.
    pub fn look(
        &mut self,
        now: Instant,
        interval: Duration,
        condition: impl Fn(SocketAddr) -> Condition,
    ) -> Change {
        Change { gone: self.let_go(now, interval, condition), ..Change::default() }
    }

    fn let_go(
        &mut self,
        now: Instant,
        interval: Duration,
        condition: impl Fn(SocketAddr) -> Condition,
    ) -> usize {
        let serves = |member: &Member| condition(member.endpoint.address) == Condition::Serves;
        let can_present_serve = self.members.iter().any(|member| member.absent.is_none() && serves(member));
        let before = self.members.len();
        let (rotates, left) = (self.rotates, &mut self.left);
        self.members.retain(|member| {
            let Some((times, since)) = member.absent else { return true };
            let address = member.endpoint.address;
            let is_over = match condition(address) {
                Condition::Serves if !can_present_serve => false,
                Condition::Fails => true,
                _ if rotates => now.saturating_duration_since(since) >= retention(interval),
                _ => times >= ABSENCES && now.saturating_duration_since(since) >= interval,
            };
            if is_over {
                left.push((address, now));
            }
            !is_over
        });
        before - self.members.len()
    }

    /// Absent and present addresses together may exceed the limit: those absent for longest are removed.
    fn bound(&mut self, now: Instant, change: &mut Change) {
        let excess = self.members.len().saturating_sub(MAX_ENDPOINTS);
        if excess == 0 {
            return;
        }
        let absence = |member: &Member| member.absent.map(|(_, since)| now.saturating_duration_since(since));
        self.members.sort_by_key(|member| std::cmp::Reverse(absence(member)));
        self.left.extend(self.members.drain(..excess).map(|member| (member.endpoint.address, now)));
        change.gone += excess;
        self.left.truncate(MAX_ENDPOINTS);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::BackendUrl;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn address(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 80))
    }

    fn found(numbers: &[u8]) -> Found {
        let url = BackendUrl::Http { host: "app".into(), port: 80 };
        let one = |number: &u8| Endpoint {
            address: address(*number),
            url: url.clone(),
            weight: 1,
            is_backup: false,
        };
        Found { endpoints: numbers.iter().map(one).collect(), left_out: 0, ttl: None }
    }

    fn all(roster: &Roster) -> Vec<u8> {
        let number = |endpoint: &Endpoint| match endpoint.address {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        };
        roster.endpoints().map(number).collect()
    }

    /// A name that is answered once a second; the addresses in `failing` fail.
    struct Name {
        roster: Roster,
        now: Instant,
        failing: BTreeSet<u8>,
    }

    impl Name {
        fn new() -> Name {
            Name { roster: Roster::default(), now: Instant::now(), failing: BTreeSet::new() }
        }

        fn says(&mut self, numbers: &[u8]) -> Vec<u8> {
            self.now += Duration::from_secs(1);
            let failing = self.failing.clone();
            let condition = move |asked: SocketAddr| match failing.iter().any(|it| address(*it) == asked) {
                true => Condition::Fails,
                false => Condition::Serves,
            };
            self.roster.answered(found(numbers), self.now, INTERVAL, condition);
            all(&self.roster)
        }
    }

    #[test]
    fn who_is_absent_and_serves_leaves_after_a_probe_s_time_and_who_fails_at_once() {
        let mut name = Name::new();
        assert_eq!(name.says(&[3, 1, 2]), [1, 2, 3]);
        for _ in 0..5 {
            assert_eq!(name.says(&[1, 2]), [1, 2, 3]);
        }
        assert_eq!(name.says(&[1, 2]), [1, 2]);
        name.failing.insert(2);
        assert_eq!(name.says(&[1]), [1]);
    }

    #[test]
    fn a_failed_look_up_changes_nothing_and_is_news_once() {
        let mut name = Name::new();
        name.says(&[1, 2]);
        assert!(name.roster.failed("SERVFAIL".into()));
        assert!(!name.roster.failed("SERVFAIL".into()));
        assert_eq!((all(&name.roster), name.roster.failure()), (vec![1, 2], Some("SERVFAIL")));
        name.says(&[1, 2]);
        assert_eq!(name.roster.failure(), None);
    }

    #[test]
    fn the_last_that_serve_are_not_taken_out_by_an_answer() {
        let mut name = Name::new();
        name.says(&[1, 2]);
        name.failing.insert(3);
        for _ in 0..20 {
            assert_eq!(name.says(&[3]), [1, 2, 3], "the one that is present does not serve");
        }
        name.failing.clear();
        assert_eq!(name.says(&[3]), [3]);
    }

    #[test]
    fn a_name_that_rotates_settles_with_all_of_its_addresses() {
        let mut name = Name::new();
        let (four, others) = ([1, 2, 3, 4], [5, 6, 7, 8]);
        for answer in [vec![four], vec![others; 7], vec![four]].concat() {
            name.says(&answer);
        }
        for turn in 0..50 {
            let answer = if turn % 2 == 0 { four } else { others };
            assert_eq!(name.says(&answer), [1, 2, 3, 4, 5, 6, 7, 8]);
        }
        for _ in 0..52 {
            name.says(&four);
        }
        assert_eq!(all(&name.roster), four);
    }

    proptest! {
        #[test]
        fn whatever_answers_say_they_are_taken_and_bounded_and_sorted(
            answers in proptest::collection::vec(proptest::collection::btree_set(0u8..12, 1..6), 1..40),
            failing in proptest::collection::btree_set(0u8..12, 0..12),
        ) {
            let mut name = Name::new();
            name.failing = failing;
            for answer in answers {
                let present: Vec<u8> = answer.iter().copied().collect();
                let members = name.says(&present);
                prop_assert!(present.iter().all(|number| members.contains(number)));
                prop_assert!(members.is_sorted());
                let stays = |number: &&u8| !present.contains(number) && name.failing.contains(number);
                prop_assert_eq!(members.iter().find(stays), None);
            }
        }
    }
}
