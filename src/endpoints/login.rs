//! Reads the token that a caller of the admin listener sends: as a bearer token (programs), or as the
//! password of HTTP Basic (RFC 7617), for which browsers ask their user. Pure.

use std::borrow::Cow;

use crate::http::basic;

/// The challenges of a 401; a browser uses the first that it supports.
pub(super) const CHALLENGES: [&[u8]; 2] =
    [b"Basic realm=\"load balancer: any user, the admin token as password\", charset=\"UTF-8\"", b"Bearer"];

/// The token in the value of an `Authorization` field. Scheme names are case-insensitive (RFC 9110 section
/// 11.1).
pub(super) fn token(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii_start());
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(Cow::Borrowed(rest));
    }
    basic::credentials(value).map(|login| Cow::Owned(login.password))
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
