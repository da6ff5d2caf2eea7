//! Hop-by-hop fields: those that are for one connection only and are not forwarded.

use std::cmp::Ordering;

use crate::http::Headers;

/// Fields that are never forwarded. `Expect` is answered here and the framing fields are set anew. `Trailer`
/// is not one of them: it announces fields that are forwarded.
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

/// Members of `Connection` that name no field to remove: `close` is an option, and `Host` must not be
/// removed.
const NAME_NOTHING: [&str; 2] = ["close", "host"];

/// The hop-by-hop fields of a head: by definition, or because `Connection` names them.
pub(super) struct HopByHop<'a> {
    /// Other fields named in `Connection`, sorted; usually empty, which allocates nothing.
    named: Vec<&'a [u8]>,
}

impl<'a> HopByHop<'a> {
    /// Collects the fields of this head. Members are sorted once and looked up by binary search, so the work
    /// does not grow with the square of the head's size. Their number is bounded by `http::framing` in
    /// requests, and by the size of the head in answers.
    pub fn of(headers: &'a Headers) -> HopByHop<'a> {
        let names_more = |member: &&[u8]| !is_one_of(member, &ALWAYS) && !is_one_of(member, &NAME_NOTHING);
        let mut named: Vec<&[u8]> = headers.tokens("connection").filter(names_more).collect();
        named.sort_unstable_by(|one, other| compare(one, other));
        HopByHop { named }
    }

    /// Whether the field with this name is hop-by-hop.
    pub fn has(&self, name: &str) -> bool {
        let name = name.as_bytes();
        is_one_of(name, &ALWAYS) || self.named.binary_search_by(|member| compare(member, name)).is_ok()
    }
}

fn is_one_of(name: &[u8], list: &[&str]) -> bool {
    list.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// Compares without regard to case.
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
        /// Comparisons of a member with a name, in this thread.
        pub(super) static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    /// Comparisons for a head with this number of fields whose `Connection` has this number of members.
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
            // A logarithm for each: 13 for the 6400 members that fit into a head of 32 KiB.
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
