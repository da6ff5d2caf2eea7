//! The part of a request that algorithms see: the client's address, the value that `hash_key` names, and the
//! sticky cookie. Pure.

use std::net::IpAddr;

use crate::config::{HashKey, PoolConfig};
use crate::http::RequestHead;
use crate::http::headers::trim;
use crate::pool::{Backend, ClientKey};

/// The key of a request for this pool.
pub fn of<'a>(address: IpAddr, head: &'a RequestHead, pool: &PoolConfig) -> ClientKey<'a> {
    let key = match &pool.hash_key {
        HashKey::Client => None,
        HashKey::Path => Some(head.path().as_bytes()),
        HashKey::Header(name) => head.headers.get(name),
        HashKey::Cookie(name) => cookie(head, name),
    };
    let sticky = pool.sticky_cookie.as_deref().and_then(|name| cookie(head, name));
    ClientKey { address, key: key.filter(|key| !key.is_empty()), sticky, is_retry: false, policy: None }
}

/// The `Set-Cookie` value that keeps the client with this backend; `None` if the request has that cookie
/// already.
pub fn set_cookie(
    pool: &PoolConfig,
    client: &ClientKey<'_>,
    backend: &Backend,
    secure: bool,
) -> Option<String> {
    let name = pool.sticky_cookie.as_deref()?;
    let value = backend.sticky_value();
    if client.sticky == Some(value.as_bytes()) {
        return None;
    }
    let secure = if secure { "; Secure" } else { "" };
    Some(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"))
}

/// The first cookie with this name (RFC 6265 section 4.2.1).
fn cookie<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    let pairs = head.headers.get_all("cookie").flat_map(|field| field.split(|byte| *byte == b';')).map(trim);
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Headers, Version};

    fn check(hash_key: HashKey, expected: Option<&[u8]>) {
        let mut headers = Headers::default();
        headers.push("Cookie", b"session2=no; session=abc;  other=x=y");
        headers.push("X-User", b"u1");
        headers.push("X-Empty", b"");
        let head =
            RequestHead { method: "GET".into(), target: "/p?q".into(), version: Version::Http11, headers };
        let defaults = crate::config::parse("{}", &crate::config::Overrides::default()).unwrap();
        let pool = PoolConfig { hash_key, ..defaults.default_pool };
        assert_eq!(of(IpAddr::from([127, 0, 0, 1]), &head, &pool).key, expected);
    }

    #[test]
    fn the_key_is_what_hash_key_names_or_none() {
        check(HashKey::Client, None);
        check(HashKey::Path, Some(b"/p"));
        check(HashKey::Header("x-user".into()), Some(b"u1"));
        check(HashKey::Header("x-empty".into()), None);
        check(HashKey::Header("x-none".into()), None);
        check(HashKey::Cookie("session".into()), Some(b"abc"));
        check(HashKey::Cookie("other".into()), Some(b"x=y"));
        check(HashKey::Cookie("none".into()), None);
    }
}
