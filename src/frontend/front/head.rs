//! A request's head from its bytes. httparse cuts it into words; what is ambiguous in them is
//! [`crate::http::framing`]'s to say. Pure.

use crate::http::{Headers, RequestHead, Version};

/// Fields that a head may have; the size limit binds first.
const MAX_FIELDS: usize = 256;

/// What the bytes so far are.
#[derive(Debug)]
pub(super) enum Parsed {
    /// The start of a head.
    Partial,
    /// A whole head of so many bytes.
    Whole(RequestHead, usize),
    /// No head.
    Malformed,
    /// More fields than there may be.
    TooManyFields,
}

/// Reads a head.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    // Empty lines before a request are of no account (RFC 9112 section 2.2).
    let skipped = bytes.chunks(2).take_while(|pair| *pair == b"\r\n").count() * 2;
    let Some(end) = find(&bytes[skipped..], b"\r\n\r\n") else {
        return if has_bare_line_end(&bytes[skipped..]) { Parsed::Malformed } else { Parsed::Partial };
    };
    let head = &bytes[skipped..skipped + end + 4];
    // httparse takes a bare LF for a line's end.
    if has_bare_line_end(head) {
        return Parsed::Malformed;
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {
            owned(&request).map_or(Parsed::Malformed, |head| Parsed::Whole(head, skipped + end + 4))
        }
        Err(httparse::Error::TooManyHeaders) => Parsed::TooManyFields,
        _ => Parsed::Malformed,
    }
}

fn owned(request: &httparse::Request<'_, '_>) -> Option<RequestHead> {
    let bytes = request.headers.iter().map(|field| field.name.len() + field.value.len()).sum();
    let mut headers = Headers::with_capacity(request.headers.len(), bytes);
    for field in request.headers.iter() {
        headers.push(field.name, field.value);
    }
    let version = if request.version? == 0 { Version::Http10 } else { Version::Http11 };
    Some(RequestHead {
        method: request.method?.to_owned(),
        target: request.path?.to_owned(),
        version,
        headers,
    })
}

/// A LF without a CR before it.
fn has_bare_line_end(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(index, byte)| *byte == b'\n' && (index == 0 || bytes[index - 1] != b'\r'))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_head_is_whole_at_its_empty_line() {
        let text = b"\r\nGET /\xc3\xa9?x HTTP/1.1\r\nHost: a\r\nX-L: \xe9\r\n\r\nrest";
        let Parsed::Whole(head, length) = parse(text) else { panic!("not whole") };
        assert_eq!((head.method.as_str(), head.target.as_str(), length), ("GET", "/é?x", text.len() - 4));
        assert_eq!(head.headers.get("x-l"), Some(&b"\xe9"[..]));
        for cut in 0..text.len() - 4 {
            assert!(matches!(parse(&text[..cut]), Parsed::Partial), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/2.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\0\r\n\r\n",
            b"GET / HTTP/1.1 junk\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        ] {
            assert!(matches!(parse(bad), Parsed::Malformed), "{:?}", String::from_utf8_lossy(bad));
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert!(matches!(parse(many.as_bytes()), Parsed::TooManyFields));
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(bytes: Vec<u8>) {
            if let Parsed::Whole(_, length) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
