//! Who a client is and what its request is called.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use loadbalancer::config::{Overrides, parse};
use loadbalancer::http::{Headers, RequestHead, Version, framing, request_id as id};
use loadbalancer::logging::line::Line;
use loadbalancer::logging::logfmt;
use loadbalancer::proxy::client_address::{client_address as found, is_trusted};

/// Input: the peer's address, trusted networks separated by blanks, then a value of `X-Forwarded-For` a
/// line. A peer or networks that can't be read are 127.0.0.1 and the default.
///
/// Strangers can't choose who they are. A trusted proxy is the client only where all that can be read
/// before it is trusted, too.
pub fn client_address(input: &[u8]) {
    let mut lines = input.strip_suffix(b"\n").unwrap_or(input).split(|byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let peer: IpAddr = line().trim().parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let trusted = networks(&line());
    let mut headers = Headers::default();
    for value in lines {
        headers.push("X-Forwarded-For", value);
    }
    let client = found(peer, &headers, &trusted);
    assert_eq!(client, client.to_canonical(), "IPv4 in IPv6's clothes");
    if !is_trusted(peer, &trusted) {
        assert_eq!(client, peer.to_canonical(), "a stranger chose its address");
        return;
    }
    let mut way: Vec<IpAddr> = hops(&headers).into_iter().rev().map_while(|hop| address(&hop)).collect();
    way.insert(0, peer.to_canonical());
    assert!(way.contains(&client), "{client} is nowhere on the way {way:?}");
    if is_trusted(client, &trusted) {
        assert!(way.iter().all(|hop| is_trusted(*hop, &trusted)), "{client} hides a stranger in {way:?}");
    } else {
        let mut forged = Headers::default();
        forged.push("x-forwarded-for", b"203.0.113.66, 127.0.0.1, ::1");
        headers.iter().for_each(|(name, value)| forged.push(name, value));
        assert_eq!(found(peer, &forged, &trusted), client, "what stands in front changed it");
    }
}

fn networks(line: &str) -> Vec<ipnet::IpNet> {
    // Only what may be in an address, so that it needs no escapes in JSON.
    let fits = |c: char| c.is_ascii_hexdigit() || ":./".contains(c);
    let quoted =
        line.split_whitespace().filter(|word| word.chars().all(fits)).map(|word| format!("{word:?}"));
    let file = format!("{{\"trusted_proxies\": [{}]}}", quoted.collect::<Vec<_>>().join(","));
    let config = parse(&file, &Overrides::default()).or_else(|_| parse("{}", &Overrides::default()));
    config.expect("the default is valid").trusted_proxies
}

fn hops(headers: &Headers) -> Vec<String> {
    let all: Vec<String> =
        headers.iter().map(|(_, value)| value.iter().map(|byte| char::from(*byte)).collect()).collect();
    let hops = all.iter().flat_map(|value| value.split(',')).map(|hop| hop.trim_matches([' ', '\t']));
    hops.filter(|hop| !hop.is_empty()).map(str::to_owned).collect()
}

fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(bracketed).or_else(with_port).map(|address| address.to_canonical())
}

/// Input: a value of `X-Request-ID`.
///
/// What is kept is kept as it is, is one harmless header value and one harmless field of a log line.
pub fn request_id(input: &[u8]) {
    let input = input.strip_suffix(b"\n").unwrap_or(input);
    let own = id::new();
    assert_eq!(id::kept(own.as_bytes()), Some(own.as_str()), "our own would not be kept");
    let Some(kept) = id::kept(input) else { return };
    assert_eq!(kept.as_bytes(), input);
    assert!((1..=128).contains(&kept.len()), "{} bytes", kept.len());
    assert!(!kept.contains(|c: char| !c.is_ascii_graphic() || "\"'\\,;<>(){}[]&|$`%".contains(c)), "{kept}");
    let mut headers = Headers::default();
    headers.push("Host", b"h");
    headers.push("X-Request-ID", kept.as_bytes());
    assert!(headers.has_token("x-request-id", kept) && headers.tokens("x-request-id").count() == 1);
    let head = RequestHead { method: "GET".into(), target: "/".into(), version: Version::Http11, headers };
    assert!(framing::check(&head).is_ok(), "{kept} does not fit in a header");
    let line = Line::new().field("request_id", &kept).field("end", &1).finish();
    let pairs = logfmt::parse(&line).unwrap_or_default();
    let expected =
        [("request_id", kept), ("end", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(pairs, expected, "{line}");
}
