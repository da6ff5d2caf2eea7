//! Parses the head of a backend's answer, keeping names and order of its fields. Pure.

use super::MAX_REPLY_FIELDS;
use crate::http::{Headers, Version};

/// The status line and the fields.
#[derive(Debug)]
pub struct AnswerHead {
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// 100 or more.
    pub status: u16,
    /// The reason phrase, often empty.
    pub reason: String,
    /// The fields as received.
    pub headers: Headers,
}

/// The result of parsing.
#[derive(Debug)]
pub enum Parsed {
    /// The start of a head, not complete.
    Partial,
    /// A complete head, and its length in bytes.
    Whole(AnswerHead, usize),
    /// Not a head of HTTP/1, and why.
    Malformed(String),
    /// More than [`MAX_REPLY_FIELDS`].
    TooManyFields,
}

/// Parses a head.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_REPLY_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Ok(httparse::Status::Complete(length)) => match owned(&response) {
            Some(head) => Parsed::Whole(head, length),
            None => Parsed::Malformed("invalid status".to_owned()),
        },
        Err(httparse::Error::TooManyHeaders) => Parsed::TooManyFields,
        Err(error) => Parsed::Malformed(error.to_string()),
    }
}

fn owned(response: &httparse::Response<'_, '_>) -> Option<AnswerHead> {
    let bytes = response.headers.iter().map(|field| field.name.len() + field.value.len()).sum();
    let mut headers = Headers::with_capacity(response.headers.len(), bytes);
    for field in response.headers.iter() {
        headers.push(field.name, field.value);
    }
    let version = if response.version? == 0 { Version::Http10 } else { Version::Http11 };
    let status = response.code.filter(|code| *code >= 100)?;
    Some(AnswerHead { version, status, reason: response.reason?.to_owned(), headers })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_order_and_words_are_kept() {
        let text = b"HTTP/1.1 299 Fine by me\r\nX-B: 1\r\nx-a: \xe9\r\nX-B: 2\r\n\r\nbody";
        let Parsed::Whole(head, length) = parse(text) else { panic!("not whole") };
        assert_eq!((head.status, head.reason.as_str(), length), (299, "Fine by me", text.len() - 4));
        let fields: Vec<_> = head.headers.iter().collect();
        assert_eq!(fields, [("X-B", &b"1"[..]), ("x-a", b"\xe9"), ("X-B", b"2")]);
        for cut in 0..text.len() - 4 {
            assert!(matches!(parse(&text[..cut]), Parsed::Partial), "cut at {cut}");
        }
    }

    #[test]
    fn as_many_fields_as_we_say_and_no_more() {
        let with = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(fields));
        assert!(matches!(parse(with(MAX_REPLY_FIELDS).as_bytes()), Parsed::Whole(..)));
        assert!(matches!(parse(with(MAX_REPLY_FIELDS + 1).as_bytes()), Parsed::TooManyFields));
    }

    #[test]
    fn what_is_no_head_is_told() {
        for bad in ["ICAP/1.0 200 OK\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 099 No\r\n\r\n"] {
            assert!(matches!(parse(bad.as_bytes()), Parsed::Malformed(_)), "{bad:?}");
        }
    }

    proptest! {
        /// With fields of any valid bytes: the parsed head equals the generated one, and every cut of it is
        /// only a start.
        #[test]
        fn a_head_is_what_it_was(
            status in 100u16..1000,
            fields in proptest::collection::vec(("[!#-'*+.0-9A-Z^-z|~-]{1,12}", "[ -~\u{80}-\u{ff}\t]{0,20}"), 0..20),
            cut: proptest::sample::Index,
        ) {
            let mut text = format!("HTTP/1.1 {status} Word\r\n").into_bytes();
            for (name, value) in &fields {
                text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            text.extend_from_slice(b"\r\n");
            let Parsed::Whole(head, length) = parse(&text) else {
                return Err(TestCaseError::fail("no head"));
            };
            prop_assert_eq!((head.status, length, head.headers.len()), (status, text.len(), fields.len()));
            for ((name, value), (sent_name, sent_value)) in head.headers.iter().zip(&fields) {
                prop_assert_eq!(name, sent_name);
                prop_assert_eq!(value, sent_value.trim_matches([' ', '\t']).as_bytes());
            }
            prop_assert!(matches!(parse(&text[..cut.index(text.len())]), Parsed::Partial));
        }

        #[test]
        fn any_bytes_are_something(bytes: Vec<u8>) {
            if let Parsed::Whole(_, length) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
