//! A backend's answer, up to its body.

use loadbalancer::transport::answer_head::{Parsed, parse};
use loadbalancer::transport::framing;

/// A head is read alike whatever comes behind it, every start of it is `Partial`, and it holds no line that another
/// reader would see and we do not. How the answer is framed does not depend on the case of its names.
pub fn answer_head(input: &[u8]) {
    let Parsed::Whole(head, length) = parse(input) else { return };
    assert!(length <= input.len());
    for cut in 0..length {
        assert!(matches!(parse(&input[..cut]), Parsed::Partial), "cut at {cut}");
    }
    let mut longer = input[..length].to_vec();
    longer.extend_from_slice(b"0\r\n\r\n");
    let Parsed::Whole(again, same) = parse(&longer) else { panic!("no head any more") };
    assert_eq!((again.status, same), (head.status, length));
    assert!((100..=999).contains(&head.status));
    for (name, value) in head.headers.iter() {
        assert!(!name.is_empty() && !name.bytes().any(|byte| byte <= b' ' || byte == b':'), "{name:?}");
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)), "a value of more than one line");
    }
    for method in ["GET", "HEAD"] {
        let mut shouted = longer[..length].to_vec();
        // The names only: the first line and the values keep theirs.
        let mut in_name = false;
        for byte in &mut shouted {
            match byte {
                b'\n' => in_name = true,
                b':' => in_name = false,
                byte if in_name => byte.make_ascii_uppercase(),
                _ => {}
            }
        }
        let Parsed::Whole(shouted, _) = parse(&shouted) else { panic!("no head in capitals") };
        let (one, other) = (framing::of(method, &head), framing::of(method, &shouted));
        assert_eq!(one.is_ok(), other.is_ok());
        if let (Ok(one), Ok(other)) = (one, other) {
            assert_eq!((one.mode, one.keeps), (other.mode, other.keeps));
        }
    }
}
