//! The closed lists of names in a configuration, and the rules for names that users choose.

use std::fmt;

use super::as_text::written_as_text;
use super::error::{MISSPELT, nearest, quoted};
use super::url;
use super::{Addresses, Algorithm, HashKey, HealthCheckKind, HostHeader, TlsVersion};

type Names<T> = [(&'static str, T)];

/// All algorithms by name.
pub(super) const ALGORITHMS: &Names<Algorithm> = &[
    ("round_robin", Algorithm::RoundRobin),
    ("least_conn", Algorithm::LeastConn),
    ("ip_hash", Algorithm::IpHash),
    ("power_of_two", Algorithm::PowerOfTwo),
    ("consistent_hash", Algorithm::ConsistentHash),
];
const ADDRESSES_KINDS: &Names<Addresses> =
    &[("one", Addresses::One), ("each", Addresses::Each), ("srv", Addresses::Srv)];
const HEALTH_CHECK_KINDS: &Names<HealthCheckKind> =
    &[("http", HealthCheckKind::Http), ("tcp", HealthCheckKind::Tcp), ("none", HealthCheckKind::None)];
const TLS_VERSIONS: &Names<TlsVersion> = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
const HOST_HEADERS: &Names<HostHeader> =
    &[("preserve", HostHeader::Preserve), ("backend", HostHeader::Backend)];

/// The form of an algorithm's name, for messages; the constants below do the same for other fields.
pub(super) const ALGORITHM: &str = r#"a name such as "round_robin""#;
pub(super) const HEALTH_CHECK_KIND: &str = r#""http", "tcp" or "none""#;
pub(super) const ADDRESSES: &str = r#""one", "each" or "srv""#;
pub(super) const HOST_HEADER: &str = r#""preserve", "backend", or a host such as "app.example.com""#;
pub(super) const TLS_VERSION: &str = r#""1.2" or "1.3""#;
pub(super) const HASH_KEY: &str = r#""client", "path", "header:NAME" or "cookie:NAME""#;
pub(super) const COOKIE_NAME: &str = r#"a cookie's name, such as "lb", or null"#;

pub(super) fn algorithm(text: &str) -> Result<Algorithm, String> {
    choose(ALGORITHMS, text)
}

pub(super) fn health_check_kind(text: &str) -> Result<HealthCheckKind, String> {
    choose(HEALTH_CHECK_KINDS, text)
}

pub(super) fn addresses(text: &str) -> Result<Addresses, String> {
    choose(ADDRESSES_KINDS, text)
}

pub(super) fn host_header(text: &str) -> Result<HostHeader, String> {
    let wrong = || format!("{} is not a host; write {HOST_HEADER}", quoted(text));
    match HOST_HEADERS.iter().find(|(name, _)| *name == text) {
        Some((_, known)) => Ok(known.clone()),
        // A host with one label is possible, but a near miss of a known word is a typo.
        None if nearest(text, HOST_HEADERS.iter().map(|(name, _)| *name)).1 > MISSPELT => Err(wrong()),
        None => match url::host_and_port(text) {
            Ok(_) => Ok(HostHeader::Fixed(text.to_owned())),
            Err(_) => Err(wrong()),
        },
    }
}

pub(super) fn hash_key(text: &str) -> Result<HashKey, String> {
    let key = match text.split_once(':') {
        None if text == "client" => Some(HashKey::Client),
        None if text == "path" => Some(HashKey::Path),
        Some(("header", name)) if is_token(name) => Some(HashKey::Header(name.to_ascii_lowercase())),
        Some(("cookie", name)) if is_token(name) => Some(HashKey::Cookie(name.to_string())),
        _ => None,
    };
    key.ok_or_else(|| format!("{} is not a hash key; write {HASH_KEY}", quoted(text)))
}

pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    match is_token(text) {
        true => Ok(text.to_string()),
        false => Err(format!("{} can't name a cookie; write {COOKIE_NAME}", quoted(text))),
    }
}

/// The `token` of RFC 9110, to which names of headers and cookies must conform.
pub(super) fn is_token(text: &str) -> bool {
    const MARKS: &str = "!#$%&'*+-.^_`|~";
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || MARKS.contains(c))
}

impl Algorithm {
    /// All algorithms, in the order in which messages list them.
    pub fn all() -> impl Iterator<Item = Algorithm> {
        ALGORITHMS.iter().map(|(_, algorithm)| *algorithm)
    }

    /// Whether the algorithm maps each client to the same backend while nothing changes.
    pub fn is_hash(self) -> bool {
        matches!(self, Algorithm::IpHash | Algorithm::ConsistentHash)
    }
}

pub(super) fn tls_version(text: &str) -> Result<TlsVersion, String> {
    choose(TLS_VERSIONS, text)
}

pub(super) fn choose<T: Copy>(names: &Names<T>, text: &str) -> Result<T, String> {
    if let Some((_, value)) = names.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let all: Vec<String> = names.iter().map(|(name, _)| quoted(name)).collect();
    let hint = match nearest(text, names.iter().map(|(name, _)| *name)) {
        (name, likeness) if likeness > MISSPELT => format!("; did you mean {name:?}?"),
        _ => String::new(),
    };
    Err(format!("{} is not one of {}{hint}", quoted(text), all.join(", ")))
}

pub(super) fn name_of<T: PartialEq>(names: &Names<T>, value: &T) -> &'static str {
    names.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(ALGORITHMS, self))
    }
}

impl fmt::Display for HealthCheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(HEALTH_CHECK_KINDS, self))
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(ADDRESSES_KINDS, self))
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(TLS_VERSIONS, self))
    }
}

impl fmt::Display for HostHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostHeader::Fixed(host) => f.write_str(host),
            known => f.write_str(name_of(HOST_HEADERS, known)),
        }
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashKey::Client => f.write_str("client"),
            HashKey::Path => f.write_str("path"),
            HashKey::Header(name) => write!(f, "header:{name}"),
            HashKey::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

written_as_text!(Algorithm, HealthCheckKind, Addresses, TlsVersion, HostHeader, HashKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for (name, value) in ALGORITHMS {
            assert_eq!(algorithm(name), Ok(*value));
            assert_eq!(value.to_string(), *name);
        }
    }

    #[test]
    fn a_misspelt_name_gets_a_hint_and_another_does_not() {
        let check = |text: &str, expected: &str| {
            let message = health_check_kind(text).unwrap_err();
            assert_eq!(message, format!("{text:?} is not one of \"http\", \"tcp\", \"none\"{expected}"));
        };
        check("htpp", "; did you mean \"http\"?");
        check("grpc", "");
        check("", "");
    }

    #[test]
    fn hash_keys_name_a_header_or_cookie() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(hash_key(text).ok().map(|key| key.to_string()).as_deref(), expected, "{text}");
        };
        check("client", Some("client"));
        check("path", Some("path"));
        check("header:X-User", Some("header:x-user"));
        check("cookie:Id", Some("cookie:Id"));
        for wrong in ["", "Client", "header", "header:", "header:a b", "cookie:a=b", "client:x"] {
            check(wrong, None);
        }
    }
}
