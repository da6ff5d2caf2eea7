//! HTTP Basic (RFC 7617): a name and a password in a value of `Authorization`. Pure.

/// Who somebody says to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Without a colon.
    pub user: Vec<u8>,
    /// As it was sent.
    pub password: Vec<u8>,
}

/// The login in a value of `Authorization`; `None` for another scheme, or for what is none. Names of schemes
/// have no case (RFC 9110 section 11.1).
pub fn credentials(value: &[u8]) -> Option<Login> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii_start());
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let pair = base64(rest)?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(Login { user: pair[..colon].to_vec(), password: pair[colon + 1..].to_vec() })
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
    fn a_name_ends_at_the_first_colon() {
        let check = |value: &str, expected: Option<(&str, &str)>| {
            let found = credentials(value.as_bytes());
            let found = found.as_ref().map(|login| {
                (std::str::from_utf8(&login.user).unwrap(), std::str::from_utf8(&login.password).unwrap())
            });
            assert_eq!(found, expected, "{value}");
        };
        check("Basic YWRtaW46czNjcmV0", Some(("admin", "s3cret")));
        check("basic OnMzY3JldA==", Some(("", "s3cret")));
        check("Basic YTpiOmM=", Some(("a", "b:c")));
        for wrong in ["", "Bearer YTpiOmM=", "Basic", "Basic czNjcmV0", "Basic !!!!", "Basic YQ==="] {
            check(wrong, None);
        }
    }
}
