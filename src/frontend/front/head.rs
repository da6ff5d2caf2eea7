//! Parses a request's head. httparse splits it; [`crate::http::framing`] decides what is ambiguous. Pure.

use crate::http::{Headers, RequestHead, Version};

/// Most fields of a head; usually the size limit is reached first.
const MAX_FIELDS: usize = 256;

/// The result of parsing.
#[derive(Debug)]
pub(super) enum Parsed {
    /// The start of a head, not complete.
    Partial,
    /// A complete head, and its length in bytes.
    Whole(RequestHead, usize),
    /// Not a head of HTTP/1.
    Malformed,
    /// More than [`MAX_FIELDS`].
    TooManyFields,
}

/// Parses a head. `searched` is how far `bytes` were searched by earlier calls, so that each byte is searched
/// only once.
pub(super) fn parse(bytes: &[u8], searched: &mut usize) -> Parsed {
    // Empty lines before a request are ignored (RFC 9112 section 2.2).
    let skipped = bytes.chunks(2).take_while(|pair| *pair == b"\r\n").count() * 2;
    let end = match find_end(bytes, skipped, (*searched).max(skipped)) {
        Found::End(end) => end,
        Found::NotYet => {
            *searched = bytes.len();
            return Parsed::Partial;
        }
        // httparse would accept a bare LF as a line end.
        Found::BareLineEnd => return Parsed::Malformed,
    };
    let head = &bytes[skipped..end];
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {
            owned(&request).map_or(Parsed::Malformed, |head| Parsed::Whole(head, end))
        }
        Err(httparse::Error::TooManyHeaders) => Parsed::TooManyFields,
        _ => Parsed::Malformed,
    }
}

enum Found {
    /// The position after the empty line.
    End(usize),
    NotYet,
    BareLineEnd,
}

/// Finds the empty line that ends the head at `start`; searches from `from`.
fn find_end(bytes: &[u8], start: usize, from: usize) -> Found {
    let mut at = from;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line_end = at + next;
        if line_end == start || bytes[line_end - 1] != b'\r' {
            return Found::BareLineEnd;
        }
        if line_end >= start + 3 && bytes[line_end - 3..line_end] == *b"\r\n\r" {
            return Found::End(line_end + 1);
        }
        at = line_end + 1;
    }
    Found::NotYet
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Parsed {
        super::parse(bytes, &mut 0)
    }

    #[test]
    fn however_it_is_cut_it_is_the_same_head() {
        let text = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\nGET";
        for step in [1, 2, 3, 5, 100] {
            let mut searched = 0;
            let mut upto = step.min(text.len());
            let length = loop {
                match super::parse(&text[..upto], &mut searched) {
                    Parsed::Whole(_, length) => break length,
                    Parsed::Partial => upto = (upto + step).min(text.len()),
                    other => panic!("{other:?} with {upto} bytes"),
                }
            };
            assert_eq!(length, text.len() - 3);
        }
    }

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
            b"GET / HTTP/1.2\r\n\r\n",
            b"GET / ICAP/1.0\r\n\r\n",
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
