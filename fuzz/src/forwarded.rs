//! What crosses the balancer in both directions.

use loadbalancer::http::headers::{is_token, trim};
use loadbalancer::http::{Headers, RequestHead, framing};
use loadbalancer::proxy::forwarded::{Forwarding, has_passed, to_backend, to_client};

use super::head::read_head;

/// RFC 9110 section 7.6.1 and the fields that RFCs 9110 and 9112 give to one connection.
const ONE_CONNECTION_S: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

const REQUEST_ID: &str = "id-1";
const NAME: &str = "lb-me";
const PEER: &str = "198.51.100.9";
const CLIENT: &str = "192.0.2.7";

/// Input: a head as [`read_head`] takes it; its fields serve as a backend's answer as well.
///
/// Fields of one connection end here, by definition or because `Connection` names them. Strangers can't
/// tell the backend who they are. What has no line end when it comes in has none when it goes out.
pub fn forwarded_head(input: &[u8]) {
    let head = read_head(input);
    for (trusted, via) in [(false, true), (true, true), (true, false)] {
        let headers = to_backend(&head, &forwarding(trusted, via));
        check_backend_s(&head, &headers, trusted);
        if framing::check(&head).is_ok() {
            check_characters(&headers);
        }
        let again = RequestHead { headers, ..head.clone() };
        assert!(has_passed(&again, NAME), "a request that comes round again is not known");
    }
    check_client_s(&head.headers);
}

fn forwarding(trusted: bool, via: bool) -> Forwarding<'static> {
    // As a socket that takes both families shows an IPv4 peer.
    let peer = format!("::ffff:{PEER}").parse().expect("an address");
    Forwarding {
        peer,
        peer_is_trusted: trusted,
        client: CLIENT.parse().expect("an address"),
        is_https: false,
        request_id: REQUEST_ID,
        name: NAME,
        via,
    }
}

fn check_backend_s(head: &RequestHead, headers: &Headers, trusted: bool) {
    let ours = [
        "host",
        "via",
        "x-lb-passed",
        "x-forwarded-for",
        "x-real-ip",
        "x-forwarded-proto",
        "x-forwarded-host",
    ];
    nothing_of_one_connection(&head.headers, headers, &[&ours[..], &["x-request-id"]].concat());
    assert_eq!(only(headers, "host"), head.host().as_bytes());
    assert_eq!(only(headers, "x-real-ip"), CLIENT.as_bytes());
    assert_eq!(only(headers, "x-request-id"), REQUEST_ID.as_bytes());
    let way = only(headers, "x-forwarded-for");
    let proto = only(headers, "x-forwarded-proto");
    // There is none where nobody has said one, as HTTP/1.0 may.
    let is_said = !head.host().is_empty() || trusted && headers.get("x-forwarded-host").is_some();
    let host = if is_said { only(headers, "x-forwarded-host") } else { b"" };
    assert_eq!(headers.get("x-forwarded-host"), is_said.then_some(host), "an empty name");
    assert!(!is_said || !host.is_empty(), "an empty name");
    assert!(proto == b"http" || proto == b"https", "a scheme that is none");
    if trusted {
        assert!(way.ends_with(PEER.as_bytes()), "the peer is not the last hop");
        let hops = head.headers.tokens("x-forwarded-for").count();
        assert_eq!(headers.tokens("x-forwarded-for").count(), hops + 1, "another number of hops");
    } else {
        assert_eq!(way, PEER.as_bytes(), "a stranger's word for the way");
        assert_eq!((proto, host), (&b"http"[..], head.host().as_bytes()), "a stranger's word");
        for (name, _) in headers.iter() {
            let name = name.to_ascii_lowercase().replace('_', "-");
            let is_told = name == "forwarded" || name.starts_with("x-forwarded-");
            assert!(!is_told || ours.contains(&name.as_str()), "{name} of a stranger");
        }
    }
}

fn check_client_s(answer: &Headers) {
    let headers = to_client(200, answer, REQUEST_ID);
    nothing_of_one_connection(answer, &headers, &["x-request-id"]);
    assert_eq!(only(&headers, "x-request-id"), REQUEST_ID.as_bytes());
    let kept = headers.len() - 1;
    let came = |name: &str, value: &[u8]| answer.iter().any(|field| field == (name, value));
    assert!(headers.iter().take(kept).all(|(name, value)| came(name, value)), "a field nobody sent");
}

/// `ours` may be named by `Connection` without harm, for we set them anew; `Host` can't be named away.
fn nothing_of_one_connection(before: &Headers, after: &Headers, ours: &[&str]) {
    let mut named: Vec<Vec<u8>> = Vec::new();
    for (_, value) in before.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        named.extend(value.split(|byte| *byte == b',').map(|name| trim(name).to_ascii_lowercase()));
    }
    for (name, _) in after.iter() {
        let name = name.to_ascii_lowercase();
        assert!(!ONE_CONNECTION_S.contains(&name.as_str()), "{name} goes on");
        let spared = name.is_empty() || name == "host" || ours.contains(&name.as_str());
        assert!(spared || !named.iter().any(|it| it == name.as_bytes()), "{name} is named and goes on");
    }
}

fn check_characters(headers: &Headers) {
    for (name, value) in headers.iter() {
        assert!(is_token(name.as_bytes()), "name {name:?}");
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)), "{name} has {value:?}");
    }
}

fn only<'h>(headers: &'h Headers, name: &str) -> &'h [u8] {
    let mut values = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let value = values.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(values.next().is_none(), "{name} twice");
    value
}
