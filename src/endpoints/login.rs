//! How a caller of the admin listener shows the token: as a bearer token, which programs send, or as the
//! password of HTTP Basic (RFC 7617), which browsers ask their user for. Pure.

use std::borrow::Cow;

use crate::http::basic;

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
