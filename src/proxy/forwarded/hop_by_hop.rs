//! Which fields of a head end here, because they are for one connection alone.

use std::cmp::Ordering;

use crate::http::Headers;

/// Fields that belong to one connection; `Expect` is answered here, framing is rebuilt. `Trailer` is not among
/// them: it announces fields that pass.
const ALWAYS: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "expect",
];

/// Members of `Connection` that name no field, or none that is to go for their sake: `Host` can't be
/// named away.
const NAME_NOTHING: [&str; 2] = ["close", "host"];

/// Hop-by-hop by definition, or because `Connection` names them.
pub(super) struct HopByHop<'a> {
    /// What `Connection` names besides, in order; mostly nothing, and then no memory.
    named: Vec<&'a [u8]>,
}

impl<'a> HopByHop<'a> {
    /// Of this head. Members are gathered once and looked up, so that work grows as the head does and not
    /// as its square. How many there may be is bounded by `http::framing` for requests, and by the size of
    /// a head for answers.
    pub fn of(headers: &'a Headers) -> HopByHop<'a> {
        let names_more = |member: &&[u8]| !is_one_of(member, &ALWAYS) && !is_one_of(member, &NAME_NOTHING);
        let mut named: Vec<&[u8]> = headers.tokens("connection").filter(names_more).collect();
        named.sort_unstable_by(|one, other| compare(one, other));
        HopByHop { named }
    }

    /// Whether a field of this name is among them.
    pub fn has(&self, name: &str) -> bool {
        let name = name.as_bytes();
        is_one_of(name, &ALWAYS) || self.named.binary_search_by(|member| compare(member, name)).is_ok()
    }
}

fn is_one_of(name: &[u8], list: &[&str]) -> bool {
    list.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// Whatever their case.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    #[cfg(test)]
    tests::COMPARED.set(tests::COMPARED.get() + 1);
    one.iter().map(u8::to_ascii_lowercase).cmp(other.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Comparisons of a member with something, in this thread.
        pub(super) static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    /// Comparisons for a head of that many fields whose `Connection` has that many members.
    fn work(fields: usize, members: usize) -> u64 {
        let mut headers = Headers::default();
        let named: Vec<String> = (0..members).map(|number| format!("m-{number}")).collect();
        headers.push("Connection", named.join(",").as_bytes());
        (0..fields).for_each(|number| headers.push(&format!("f-{number}"), b""));
        COMPARED.set(0);
        let hop_by_hop = HopByHop::of(&headers);
        assert_eq!(headers.iter().filter(|(name, _)| hop_by_hop.has(name)).count(), 1, "Connection itself");
        COMPARED.get()
    }

    #[test]
    fn work_grows_no_faster_than_the_head() {
        assert_eq!(work(200, 0), 0, "the usual head");
        for (fields, members) in [(10, 10), (128, 128), (256, 256), (6400, 1), (1, 6400), (6400, 6400)] {
            let (work, size) = (work(fields, members), (fields + members) as u64);
            // A logarithm for each: 13 for the most members that a head of 32 KiB can have.
            assert!(work <= 20 * size, "{fields} fields, {members} members: {work} comparisons");
        }
    }

    #[test]
    fn named_fields_are_found_whatever_their_case_and_order() {
        let mut headers = Headers::default();
        headers.push("Connection", b"X-B, close , x-a,Host");
        headers.push("connection", b"X-Ccc");
        let hop_by_hop = HopByHop::of(&headers);
        for (name, ends) in [
            ("x-A", true),
            ("X-b", true),
            ("x-ccC", true),
            ("TE", true),
            ("host", false),
            ("x-d", false),
            ("x", false),
        ] {
            assert_eq!(hop_by_hop.has(name), ends, "{name}");
        }
    }
}
