//! The PROXY header, with which a proxy in front of us names the client's address: versions 1 and 2 of
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. Strict, because a header that two programs
//! read in two ways lets a client choose its own address. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// Longest line of version 1, including its line end.
const MAX_LINE_BYTES: usize = 107;
/// Limit for addresses, ports and extensions of version 2; no proxy sends 4 KiB of extensions.
const MAX_REST_BYTES: usize = 8 << 10;
/// Size of the longest header.
pub const MAX_BYTES: usize = FIXED_BYTES + MAX_REST_BYTES;
/// The extension with a checksum of the whole header.
const CRC32C: u8 = 3;

/// What the bytes received so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    Partial,
    /// A complete header: the client's address and the header's length in bytes. The address is `None` if the
    /// proxy speaks for itself (a health check) or the address family is not IP.
    Whole(Option<SocketAddr>, usize),
    /// Not a valid header.
    Malformed,
}

/// Parses the header at the beginning of a connection.
pub fn parse(bytes: &[u8]) -> Parsed {
    let start = bytes.len().min(SIGNATURE.len());
    if bytes[..start] == SIGNATURE[..start] {
        return version_2(bytes).unwrap_or(Parsed::Malformed);
    }
    let line = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            version_1(&line[..end]).map_or(Parsed::Malformed, |client| Parsed::Whole(client, end + 1))
        }
        None if line.len() < MAX_LINE_BYTES && is_start_of_version_1(line) => Parsed::Partial,
        None => Parsed::Malformed,
    }
}

fn is_start_of_version_1(line: &[u8]) -> bool {
    const WORD: &[u8] = b"PROXY ";
    let start = line.len().min(WORD.len());
    line[..start] == WORD[..start]
}

fn version_1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\r')?;
    let mut words = line.split(' ');
    if words.next()? != "PROXY" {
        return None;
    }
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, target) = (words.next()?, words.next()?);
    let (source_port, _) = (port(words.next()?)?, port(words.next()?)?);
    let source = match family {
        "TCP4" => IpAddr::V4(both::<Ipv4Addr>(source, target)?),
        "TCP6" => IpAddr::V6(both::<Ipv6Addr>(source, target)?),
        _ => return None,
    };
    words.next().is_none().then_some(Some(SocketAddr::new(source, source_port)))
}

/// The first address, provided that the second is one of the same kind.
fn both<A: FromStr>(source: &str, target: &str) -> Option<A> {
    target.parse::<A>().ok()?;
    source.parse().ok()
}

/// Digits only, without leading zeros; Rust would also accept a sign.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

fn version_2(bytes: &[u8]) -> Option<Parsed> {
    let Some(fixed) = bytes.get(..FIXED_BYTES) else { return Some(Parsed::Partial) };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if command >> 4 != 2 || length > MAX_REST_BYTES {
        return None;
    }
    let Some(whole) = bytes.get(..FIXED_BYTES + length) else { return Some(Parsed::Partial) };
    let rest = &whole[FIXED_BYTES..];
    // The upper half of the byte is the address family; the lower half says stream or datagram.
    let addresses = match family >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return None,
    };
    let extensions = rest.get(addresses..)?;
    check_extensions(whole, FIXED_BYTES + addresses, extensions)?;
    let client = match command & 0xf {
        // The LOCAL command: the proxy speaks for itself, and the addresses mean nothing.
        0 => None,
        1 => source_of(family, rest),
        _ => return None,
    };
    Some(Parsed::Whole(client, whole.len()))
}

fn source_of(family: u8, rest: &[u8]) -> Option<SocketAddr> {
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    match family >> 4 {
        1 => Some(SocketAddr::new(IpAddr::from(<[u8; 4]>::try_from(rest.get(..4)?).ok()?), port(8)?)),
        2 => Some(SocketAddr::new(IpAddr::from(<[u8; 16]>::try_from(rest.get(..16)?).ok()?), port(32)?)),
        _ => None,
    }
}

/// Checks the extensions; `None` if one exceeds the header or a checksum is wrong.
fn check_extensions(whole: &[u8], start: usize, mut extensions: &[u8]) -> Option<()> {
    let mut at = start;
    while !extensions.is_empty() {
        let (kind, high, low) = (*extensions.first()?, *extensions.get(1)?, *extensions.get(2)?);
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = extensions.get(3..3 + length)?;
        if kind == CRC32C && u32::from_be_bytes(value.try_into().ok()?) != checksum(whole, at + 3) {
            return None;
        }
        at += 3 + length;
        extensions = &extensions[3 + length..];
    }
    Some(())
}

/// CRC32c of the header, counting the four bytes at `hole`, where the checksum itself is, as zeros.
fn checksum(whole: &[u8], hole: usize) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
    let bytes =
        whole.iter().enumerate().map(|(at, byte)| if (hole..hole + 4).contains(&at) { 0 } else { *byte });
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version_2(family: u8, addresses: &[u8], extensions: &[u8]) -> Vec<u8> {
        let length = (addresses.len() + extensions.len()) as u16;
        [&SIGNATURE[..], &[0x21, family], &length.to_be_bytes(), addresses, extensions].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0, 80];

    fn whole(bytes: &[u8], client: Option<&str>) {
        let client = client.map(|text| text.parse().unwrap());
        assert_eq!(parse(bytes), Parsed::Whole(client, bytes.len()), "{}", String::from_utf8_lossy(bytes));
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::Partial, "cut at {cut}");
        }
    }

    #[test]
    fn headers_of_both_versions_are_read_however_they_are_cut() {
        whole(b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n", Some("192.0.2.1:12345"));
        whole(b"PROXY TCP6 2001:db8::1 ::1 1 0\r\n", Some("[2001:db8::1]:1"));
        whole(b"PROXY UNKNOWN\r\n", None);
        whole(b"PROXY UNKNOWN whatever stands here\r\n", None);
        whole(&version_2(0x11, &IPV4, b""), Some("192.0.2.1:12345"));
        whole(&version_2(0x11, &IPV4, &[&[4, 0x10, 0][..], &[0; 4096]].concat()), Some("192.0.2.1:12345"));
        let mut health_check = version_2(0, b"", b"");
        health_check[12] = 0x20;
        whole(&health_check, None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for bad in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 080\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UNKNOWN\n",
            "proxy UNKNOWN\r\n",
            "GET / HTTP/1.1\r\n",
            long.as_str(),
        ] {
            assert_eq!(parse(bad.as_bytes()), Parsed::Malformed, "{bad:?}");
        }
        let refused = |change: fn(&mut Vec<u8>)| {
            let mut header = version_2(0x11, &IPV4, &[4, 0, 1, 0]);
            change(&mut header);
            assert_eq!(parse(&header), Parsed::Malformed, "{header:?}");
        };
        refused(|header| header[12] = 0x31);
        refused(|header| header[12] = 0x22);
        refused(|header| header[13] = 0x41);
        refused(|header| header[15] = 8);
        refused(|header| header[30] = 2);
        refused(|header| header[14] = 0x20);
    }

    #[test]
    fn a_checksum_has_to_be_right() {
        // The standard check value for CRC32c.
        assert_eq!(checksum(b"123456789", 100), 0xe306_9283);
        let mut header = version_2(0x11, &IPV4, &[CRC32C, 0, 4, 0, 0, 0, 0]);
        let sum = checksum(&header, 31).to_be_bytes();
        header[31..].copy_from_slice(&sum);
        whole(&header, Some("192.0.2.1:12345"));
        header[20] ^= 1;
        assert_eq!(parse(&header), Parsed::Malformed);
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(bytes: Vec<u8>, is_version_2: bool) {
            let start: &[u8] = if is_version_2 { SIGNATURE } else { b"PROXY " };
            let bytes = [start, &bytes].concat();
            if let Parsed::Whole(_, length) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
