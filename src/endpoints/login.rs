//! How a caller of the admin listener shows the token: as a bearer token, which programs send, or as the
//! password of HTTP Basic (RFC 7617), which browsers ask their user for. Pure.

use std::borrow::Cow;

/// What a 401 asks for. A browser takes the first that it knows.
pub(super) const CHALLENGES: [&[u8]; 2] =
    [b"Basic realm=\"load balancer: any user, the admin token as password\", charset=\"UTF-8\"", b"Bearer"];

/// The token in a value of `Authorization`. Names of schemes have no case (RFC 9110 section 11.1).
pub(super) fn token(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii_start());
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(Cow::Borrowed(rest));
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let pair = base64(rest)?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(Cow::Owned(pair[colon + 1..].to_vec()))
}

/// Decoded (RFC 4648 section 4); `None` for what is no such text.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let text = &text[..text.len() - padding];
    let (mut bits, mut bit_count, mut bytes) = (0u32, 0, Vec::with_capacity(text.len()));
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
            bits &= (1 << bit_count) - 1;
        }
    }
    // Two of these and more are no padding of anything; so are bits that are left over.
    (padding <= 2 && bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_bearer_token_or_a_password() {
        let check = |value: &str, expected: Option<&str>| {
            let found = token(value.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        };
        check("Bearer s3cret", Some("s3cret"));
        check("bearer s3cret", Some("s3cret"));
        check("Basic YWRtaW46czNjcmV0", Some("s3cret"));
        check("basic OnMzY3JldA==", Some("s3cret"));
        check("Basic YTpiOmM=", Some("b:c"));
        for wrong in ["", "s3cret", "Basic", "Basic czNjcmV0", "Basic !!!!", "Digest s3cret", "Basic YQ==="] {
            check(wrong, None);
        }
    }
}
