use proptest::prelude::*;

use super::super::Headers;
use super::*;

fn head(version: Version, fields: &[(&str, &[u8])]) -> RequestHead {
    let mut headers = Headers::default();
    headers.push("Host", b"example.com");
    for (name, value) in fields {
        headers.push(name, value);
    }
    RequestHead { method: "POST".into(), target: "/".into(), version, headers }
}

fn verdict(fields: &[(&str, &[u8])]) -> Result<BodyLength, FramingError> {
    check(&head(Version::Http11, fields))
}

#[test]
fn one_plain_length_or_chunked_is_clear() {
    assert_eq!(verdict(&[]), Ok(BodyLength::None));
    assert_eq!(verdict(&[("Content-Length", b"0")]), Ok(BodyLength::Known(0)));
    assert_eq!(verdict(&[("content-length", b" 0042 ")]), Ok(BodyLength::Known(42)));
    assert_eq!(verdict(&[("Transfer-Encoding", b"Chunked")]), Ok(BodyLength::Chunked));
}

#[test]
fn every_other_framing_is_ambiguous() {
    let lengths: [&[u8]; 14] = [
        b"",
        b"+5",
        b"-5",
        b"0x5",
        b"5,5",
        b"5, 5",
        b"5 5",
        b"abc",
        b"5.0",
        b"\x0b5",
        b"5;",
        b"9223372036854775808",
        b"18446744073709551616",
        b"1e3",
    ];
    for length in lengths {
        let found = verdict(&[("Content-Length", length)]);
        assert!(found.is_err(), "{length:?}");
    }
    let codings: [&[u8]; 9] = [
        b"",
        b"identity",
        b"gzip, chunked",
        b"chunked, chunked",
        b"chunked;q=1",
        b"xchunked",
        b"chunked,",
        b"\"chunked\"",
        b"chun ked",
    ];
    for coding in codings {
        assert_eq!(
            verdict(&[("Transfer-Encoding", coding)]),
            Err(FramingError::AmbiguousFraming),
            "{coding:?}"
        );
    }
}

#[test]
fn length_and_coding_together_or_repeated_are_ambiguous() {
    let sets: [&[(&str, &[u8])]; 5] = [
        &[("Content-Length", b"5"), ("Transfer-Encoding", b"chunked")],
        &[("Content-Length", b"5"), ("Content-Length", b"5")],
        &[("Content-Length", b"5"), ("content-length", b"6")],
        &[("Transfer-Encoding", b"chunked"), ("Transfer-Encoding", b"chunked")],
        &[("Transfer-Encoding", b"chunked"), ("Transfer-Encoding", b"identity")],
    ];
    for set in sets {
        assert_eq!(verdict(set), Err(FramingError::AmbiguousFraming), "{set:?}");
    }
}

#[test]
fn http_1_0_knows_no_chunked() {
    let old = head(Version::Http10, &[("Transfer-Encoding", b"chunked")]);
    assert_eq!(check(&old), Err(FramingError::AmbiguousFraming));
}

#[test]
fn host_is_one_and_plain() {
    let hosts: [(&[u8], bool); 16] = [
        (b"example.com", true),
        (b"example.com:8080", true),
        (b"[::1]:80", true),
        (b"127.0.0.1", true),
        (b"a_b.c", true),
        (b"x:", true),
        (b"", false),
        (b"a b", false),
        (b"a/b", false),
        (b"a@b", false),
        (b"[::1", false),
        (b"[]", false),
        (b"[::1]x", false),
        (b"x:80a", false),
        (b"x:123456", false),
        (b"\xe9", false),
    ];
    for (host, good) in hosts {
        let mut head = head(Version::Http11, &[]);
        head.headers.set("Host", host);
        assert_eq!(check(&head).is_ok(), good, "{host:?}");
    }
}

#[test]
fn host_is_needed_in_1_1_only_and_never_twice() {
    for (version, missing_is_fine) in [(Version::Http11, false), (Version::Http10, true)] {
        let mut head = head(version, &[]);
        head.headers.push("host", b"example.com");
        assert_eq!(check(&head), Err(FramingError::BadHost));
        head.headers.remove("host");
        assert_eq!(check(&head).is_ok(), missing_is_fine);
    }
}

#[test]
fn characters_that_split_are_malformed() {
    for value in [&b"a\nX-B: b"[..], b"a\rb", b"a\0b", b"\x7f", b"\x0b"] {
        assert_eq!(verdict(&[("X-A", value)]), Err(FramingError::Malformed), "{value:?}");
    }
    assert!(verdict(&[("X-A", b"tab\tand \xe9")]).is_ok());
    for name in ["", "X(A)", "X A", "X:"] {
        assert_eq!(verdict(&[(name, b"a")]), Err(FramingError::Malformed), "{name:?}");
    }
}

#[test]
fn targets_may_be_odd_but_not_controls() {
    for (target, good) in [
        ("/", true),
        ("/|{}\"\\^`<>[]%zz", true),
        ("//a", true),
        ("/?", true),
        ("http://h/x", true),
        ("", false),
        ("x", false),
        ("/a b", false),
        ("/\x01", false),
        ("/a#b", false),
        ("/?a#", false),
        ("http://h/#", false),
        ("/a%23b", true),
        ("/\x7f", false),
        ("http://", false),
        ("http://u@h/", false),
        ("host:443", false),
    ] {
        let mut head = head(Version::Http11, &[]);
        head.target = target.into();
        assert_eq!(check(&head).is_ok(), good, "{target:?}");
    }
}

#[test]
fn fields_and_members_of_connection_have_a_bound() {
    for (fields, members, fits) in [(255, 0, true), (256, 0, false), (0, 256, true), (0, 257, false)] {
        let mut head = head(Version::Http11, &[]);
        (0..fields).for_each(|_| head.headers.push("a", b"b"));
        if members > 0 {
            head.headers.push("Connection", vec!["a"; members].join(",").as_bytes());
        }
        let expected = if fits { Ok(BodyLength::None) } else { Err(FramingError::TooManyFields) };
        assert_eq!(check(&head), expected, "{fields} fields and Host, {members} members");
    }
}

#[test]
fn some_targets_are_for_some_methods() {
    for (method, target, good) in [
        ("OPTIONS", "*", true),
        ("GET", "*", false),
        ("PRI", "*", false),
        ("CONNECT", "host:443", false),
        ("CONNECT", "/", false),
        ("CONNECT", "http://h/", false),
    ] {
        let mut head = head(Version::Http11, &[]);
        (head.method, head.target) = (method.into(), target.into());
        assert_eq!(check(&head).is_ok(), good, "{method} {target:?}");
    }
}

proptest! {
    /// Every accepted head has one reading: at most one of the two framing fields, with plain digits or
    /// `chunked`.
    #[test]
    fn what_passes_is_unambiguous(
        fields in proptest::collection::vec(
            (prop_oneof!["Content-Length", "Transfer-Encoding", "X"], prop_oneof!["[0-9+, x-]{0,4}", "[a-z, ]{0,9}", "chunked"]),
            0..4,
        ),
    ) {
        let mut head = head(Version::Http11, &[]);
        for (name, value) in &fields {
            head.headers.push(name, value.as_bytes());
        }
        if let Ok(length) = check(&head) {
            let framing: Vec<_> = fields.iter().filter(|(name, _)| name != "X").collect();
            prop_assert!(framing.len() <= 1);
            match length {
                BodyLength::None => prop_assert!(framing.is_empty()),
                BodyLength::Known(n) => prop_assert_eq!(framing[0].1.trim().parse::<u64>().ok(), Some(n)),
                BodyLength::Chunked => prop_assert_eq!(framing[0].1.trim(), "chunked"),
            }
        }
    }
}
