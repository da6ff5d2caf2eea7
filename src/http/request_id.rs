//! The id that follows one request through logs, backends and answers.

/// Longest id accepted from a trusted proxy, in bytes.
const MAX_KEPT: usize = 128;

/// A new id: 128 random bits as 32 hexadecimal digits. Unique in practice, not secret.
pub fn new() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The id sent by a trusted proxy, if it is fit for logs and headers: 1 to 128 characters of
/// `A-Z a-z 0-9 . _ : + / = @ -`.
pub fn kept(value: &[u8]) -> Option<&str> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:+/=@-".contains(byte);
    let ok = (1..=MAX_KEPT).contains(&value.len()) && value.iter().all(fits);
    if ok { std::str::from_utf8(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_32_hex_digits_and_differ() {
        let (one, two) = (new(), new());
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }

    #[test]
    fn only_plain_ids_are_kept() {
        assert_eq!(kept(b"trace:1/a=B@x+y_z.0-9"), Some("trace:1/a=B@x+y_z.0-9"));
        for bad in [&b""[..], b"a b", b"a\"b", b"a\nb", b"\xff", &[b'a'; 129]] {
            assert_eq!(kept(bad), None);
        }
    }
}
