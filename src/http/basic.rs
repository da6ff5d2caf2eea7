//! HTTP Basic (RFC 7617): the user name and password in an `Authorization` field. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A user name and the password sent with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name, which contains no colon.
    pub user: Vec<u8>,
    /// The password as sent.
    pub password: Vec<u8>,
}

/// The login in the value of an `Authorization` field; `None` for another scheme or an invalid value. Scheme
/// names are case-insensitive (RFC 9110 section 11.1).
pub fn credentials(value: &[u8]) -> Option<Login> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii_start());
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let pair = STANDARD.decode(rest.trim_ascii_end()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(Login { user: pair[..colon].to_vec(), password: pair[colon + 1..].to_vec() })
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
