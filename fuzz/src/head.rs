//! What passes as a request's head.

use loadbalancer::http::headers::trim;
use loadbalancer::http::{BodyLength, Headers, RequestHead, Version, framing};

/// Reads a head as people write it: `METHOD TARGET HTTP/1.1`, then a line `Name: value` a field. Only
/// a line feed ends a line, and a line that starts with a blank or tab goes on with the one before, its
/// line feed included: that is how a value comes to have one. Carriage returns stay where they are.
pub(crate) fn read_head(input: &[u8]) -> RequestHead {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in input.strip_suffix(b"\n").unwrap_or(input).split(|byte| *byte == b'\n') {
        match (lines.last_mut(), line.first()) {
            (Some(before), Some(b' ' | b'\t')) => {
                before.push(b'\n');
                before.extend_from_slice(line);
            }
            _ => lines.push(line.to_vec()),
        }
    }
    let mut lines = lines.into_iter();
    let first = String::from_utf8_lossy(&lines.next().unwrap_or_default()).into_owned();
    let (method, rest) = first.split_once(' ').unwrap_or((&first, ""));
    let (target, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    let version = if version == "HTTP/1.0" { Version::Http10 } else { Version::Http11 };
    let mut headers = Headers::default();
    for line in lines {
        let middle = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(middle + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        headers.push(&String::from_utf8_lossy(&line[..middle]), value);
    }
    RequestHead { method: method.to_owned(), target: target.to_owned(), version, headers }
}

/// Input: a head as [`read_head`] takes it.
///
/// What passes has one reading: at most one framing field, plain digits or `chunked` and nothing else;
/// one host with nothing in it that is none; no line that another parser would see and we do not.
pub fn request_head(input: &[u8]) {
    let head = read_head(input);
    let Ok(length) = framing::check(&head) else { return };
    check_framing(&head, length);
    check_host(&head);
    assert!(head.target.bytes().all(|byte| byte > b' ' && byte != 0x7f), "target {:?}", head.target);
    let path = head.path();
    assert!(path.starts_with('/') && !path.contains(['?', '#']), "path {path:?} of {:?}", head.target);
    another_parser_agrees(&head);
    for (name, value) in [("content-LENGTH", "0"), ("transfer-ENCODING", "chunked"), ("HOST", "h")] {
        let is_there = match name {
            "HOST" => head.headers.get("host").is_some(),
            _ => length != BodyLength::None,
        };
        let mut more = head.clone();
        more.headers.push(name, value.as_bytes());
        assert!(!is_there || framing::check(&more).is_err(), "passes with one more {name}");
    }
}

fn check_framing(head: &RequestHead, length: BodyLength) {
    let values = |wanted: &str| -> Vec<Vec<u8>> {
        let fields = head.headers.iter().filter(|(name, _)| name.to_ascii_lowercase() == wanted);
        fields.map(|(_, value)| trim(value).to_ascii_lowercase()).collect()
    };
    match (length, &values("content-length")[..], &values("transfer-encoding")[..]) {
        (BodyLength::None, [], []) => {}
        (BodyLength::Known(number), [digits], []) => {
            assert!(digits.iter().all(u8::is_ascii_digit), "{digits:?}");
            let leading_zeros = digits.iter().take_while(|byte| **byte == b'0').count();
            let bare = String::from_utf8_lossy(&digits[leading_zeros..]);
            assert_eq!(bare, if number == 0 { String::new() } else { number.to_string() });
            assert!(number < 1 << 63);
        }
        (BodyLength::Chunked, [], [coding]) => {
            assert_eq!(coding, b"chunked");
            assert_eq!(head.version, Version::Http11);
        }
        (length, lengths, codings) => panic!("{length:?} from {lengths:?} and {codings:?}"),
    }
}

fn check_host(head: &RequestHead) {
    let host = head.host();
    let ends_a_host = |c: char| c.is_control() || c.is_whitespace() || "/?#@\\\"<>,".contains(c);
    // A comma is legal in a name (RFC 3986's sub-delims), though nobody has one.
    assert!(!host.contains(|c: char| c != ',' && ends_a_host(c)), "host {host:?}");
    assert!(!host.is_empty() || head.version == Version::Http10, "HTTP/1.1 without a host");
}

/// Written out and read by httparse, it has the same fields.
fn another_parser_agrees(head: &RequestHead) {
    let mut wire = format!("{} / HTTP/1.1\r\n", head.method).into_bytes();
    for (name, value) in head.headers.iter() {
        wire.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    wire.extend(b"\r\n");
    let mut room = vec![httparse::EMPTY_HEADER; head.headers.len()];
    let mut other = httparse::Request::new(&mut room);
    let end = other.parse(&wire);
    assert_eq!(end, Ok(httparse::Status::Complete(wire.len())), "{}", String::from_utf8_lossy(&wire));
    assert_eq!(other.method, Some(head.method.as_str()));
    let theirs = other.headers.iter().map(|field| (field.name, trim(field.value)));
    assert!(theirs.eq(head.headers.iter().map(|(name, value)| (name, trim(value)))), "other fields");
}
