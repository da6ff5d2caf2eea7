//! The PROXY header.

use std::net::SocketAddr;

use loadbalancer::http::proxy_header::{self, Parsed, parse};

/// A header is read alike however much has come behind it, every start of one is `Partial`, and it is no longer than
/// is said. What it names is written as version 1 and read as the same.
pub fn proxy_header(input: &[u8]) {
    let Parsed::Whole(client, length) = parse(input) else { return };
    assert!(length <= input.len() && length <= proxy_header::MAX_BYTES, "{length} bytes");
    for cut in 0..length {
        assert_eq!(parse(&input[..cut]), Parsed::Partial, "cut at {cut}");
    }
    let mut longer = input[..length].to_vec();
    longer.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(parse(&longer), Parsed::Whole(client, length));
    let Some(client) = client else { return };
    let (family, target) = match client {
        SocketAddr::V4(_) => ("TCP4", "192.0.2.1"),
        SocketAddr::V6(_) => ("TCP6", "2001:db8::1"),
    };
    let line = format!("PROXY {family} {} {target} {} 80\r\n", client.ip(), client.port());
    // An address of IPv6 that Rust writes with a scope or otherwise is none of ours.
    assert_eq!(parse(line.as_bytes()), Parsed::Whole(Some(client), line.len()), "{line:?}");
}
