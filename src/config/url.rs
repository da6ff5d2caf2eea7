//! Backend URLs: `http://host:port`, `https://host:port`, `unix:/path`. Anything more in a URL (a user, a
//! path, a query) would have no effect, so it is refused with the reason.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::as_text::written_as_text;
use super::error::quoted;

/// The form of a backend URL, for messages.
pub(super) const BACKEND_URL: &str = "http://HOST:PORT, https://HOST:PORT or unix:/PATH";

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// Size of the path in `sockaddr_un` without the final NUL.
const MOST_SOCKET_PATH_BYTES: usize = 107;
/// Limits of RFC 1035.
const MOST_NAME_BYTES: usize = 253;
const MOST_LABEL_BYTES: usize = 63;

/// A backend's URL. `Display` writes it as `http://localhost:3001`, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendUrl {
    /// `http://host:port`; IPv6 addresses in brackets. The default port is 80.
    Http {
        /// A name or a literal address, without brackets, lower-cased.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `https://host:port`; the default port is 443.
    Https {
        /// A name or a literal address, without brackets, lower-cased.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `unix:/path.sock`.
    Unix {
        /// Absolute path of the socket.
        path: String,
    },
}

impl BackendUrl {
    /// Parses a URL; scheme and host may be in any case, and a single `/` may follow the host.
    ///
    /// # Errors
    ///
    /// A message for operators: why `text` is not a backend URL, and what would be one.
    pub fn parse(text: &str) -> Result<BackendUrl, String> {
        parse(text).map_err(|reason| match text.contains('@') {
            // The part before an `@` may contain a password.
            true => format!("the URL {reason}; write {BACKEND_URL}"),
            false => format!("{} {reason}; write {BACKEND_URL}", quoted(text)),
        })
    }
}

fn parse(text: &str) -> Result<BackendUrl, &'static str> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("has a space or control character in it");
    }
    let Some((scheme, rest)) = text.split_once(':') else { return Err("is not a backend URL") };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {
            let (host, port) = authority(rest)?;
            Ok(BackendUrl::Http { host, port: port.unwrap_or(HTTP_PORT) })
        }
        "https" => {
            let (host, port) = authority(rest)?;
            Ok(BackendUrl::Https { host, port: port.unwrap_or(HTTPS_PORT) })
        }
        "unix" => Ok(BackendUrl::Unix { path: socket_path(rest)? }),
        _ => Err("is not a backend URL"),
    }
}

/// Parses host and port after `http:`.
fn authority(rest: &str) -> Result<(String, Option<u16>), &'static str> {
    let rest = rest.strip_prefix("//").ok_or("lacks // after the scheme")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if authority.contains('@') {
        return Err("carries a user name or password, which would have no effect");
    }
    match after.as_bytes() {
        [] | [b'/'] => host_and_port(authority),
        [b'?', ..] | [b'/', b'?', ..] => Err("carries a query, which would have no effect"),
        [b'#', ..] | [b'/', b'#', ..] => Err("carries a fragment, which would have no effect"),
        _ => Err("carries a path, which would have no effect"),
    }
}

/// Parses `host:port` or `host`; removes the brackets of an IPv6 address.
pub(super) fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (literal, port) = rest.split_once(']').ok_or("has a [ without its ]")?;
            let host: Ipv6Addr = literal.parse().map_err(|_| "has no IPv6 address in its [ ]")?;
            (host.to_string(), port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            if port.matches(':').count() > 1 {
                return Err("has an IPv6 address without [ ] around it");
            }
            (host_name(host)?, port)
        }
    };
    match port.strip_prefix(':') {
        Some(digits) => Ok((host, Some(self::port(digits)?))),
        None if port.is_empty() => Ok((host, None)),
        None => Err("has something other than a port after its host"),
    }
}

fn port(digits: &str) -> Result<u16, &'static str> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| all_digits && *port > 0);
    port.ok_or("has a port that is not a number from 1 to 65535")
}

/// Validates a name or an IPv4 address and converts it to lower case.
pub(super) fn host_name(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let labels = text.strip_suffix('.').unwrap_or(text);
    if labels.is_empty() {
        return Err("has no host");
    }
    let valid =
        |label: &str| !label.is_empty() && label.len() <= MOST_LABEL_BYTES && label.chars().all(plain);
    if labels.len() > MOST_NAME_BYTES || !labels.split('.').all(valid) {
        return Err("has a host that is neither a name nor an address");
    }
    // No name ends in a number, so this was meant to be an IPv4 address.
    let last = labels.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<Ipv4Addr>().is_err() {
        return Err("has a host that is neither a name nor an address");
    }
    Ok(text.to_ascii_lowercase())
}

fn socket_path(rest: &str) -> Result<String, &'static str> {
    // Also accepts unix:///path, with an empty host.
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("has no absolute path of a socket");
    }
    // `//a` means `/a`; written after the scheme, it would read as an empty host.
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.len() > MOST_SOCKET_PATH_BYTES {
        return Err("has a path longer than a socket's can be, which is 107 bytes");
    }
    Ok(path)
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port, default_port) = match self {
            BackendUrl::Http { host, port } => ("http", host, *port, HTTP_PORT),
            BackendUrl::Https { host, port } => ("https", host, *port, HTTPS_PORT),
            BackendUrl::Unix { path } => return write!(f, "unix:{path}"),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]")?,
            false => write!(f, "{scheme}://{host}")?,
        }
        match port == default_port {
            true => Ok(()),
            false => write!(f, ":{port}"),
        }
    }
}

written_as_text!(BackendUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_in_any_form_and_written_in_one() {
        let check = |text: &str, expected: &str| {
            let url = BackendUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), expected, "{text}");
            assert_eq!(BackendUrl::parse(expected), Ok(url), "{text}");
        };
        check("http://localhost:3001", "http://localhost:3001");
        check("HTTP://LocalHost:3001/", "http://localhost:3001");
        check("http://a_b.example.com.", "http://a_b.example.com.");
        check("http://a:80", "http://a");
        check("http://a:443", "http://a:443");
        check("https://a", "https://a");
        check("https://a:0443", "https://a");
        check("https://127.0.0.1:8443", "https://127.0.0.1:8443");
        check("http://[::1]:3001", "http://[::1]:3001");
        check("http://[0:0:0:0:0:0:0:1]", "http://[::1]");
        check("unix:/run/App.sock", "unix:/run/App.sock");
        check("UNIX:///run/app.sock", "unix:/run/app.sock");
        check("unix:////run/app.sock", "unix:/run/app.sock");
    }

    #[test]
    fn the_port_is_the_schemes_where_there_is_none() {
        let host = "a".to_string();
        assert_eq!(BackendUrl::parse("http://a"), Ok(BackendUrl::Http { host: host.clone(), port: 80 }));
        assert_eq!(BackendUrl::parse("https://a"), Ok(BackendUrl::Https { host, port: 443 }));
    }

    #[test]
    fn what_a_backend_url_cannot_have_is_refused_with_its_reason() {
        let check = |text: &str, expected: &str| {
            let message = BackendUrl::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text:?}: {message}");
            assert!(message.ends_with(BACKEND_URL), "{text:?}: {message}");
        };
        check("", "is not a backend URL");
        check("ftp://x", "is not a backend URL");
        check("http:/a", "lacks //");
        check("http://user@a", "user name or password");
        check("http://a/b", "carries a path");
        check("http://a//", "carries a path");
        check("http://a/?b", "carries a query");
        check("http://a?b", "carries a query");
        check("http://a/#b", "carries a fragment");
        check("http://a:", "a port that is not");
        check("http://a:0", "a port that is not");
        check("http://a:+1", "a port that is not");
        check("http://a:65536", "a port that is not");
        check("http://:80", "no host");
        check("http://.", "no host");
        check("http://a..b", "neither a name nor an address");
        check("http://1.2.3", "neither a name nor an address");
        check("http://a%20b", "neither a name nor an address");
        check("http://m\u{fc}ller", "neither a name nor an address");
        check("http://a b", "space or control");
        check("http://a\r\nb", "space or control");
        check("http://::1", "without [ ]");
        check("http://[::1", "without its ]");
        check("http://[a]", "no IPv6 address");
        check("http://[::1]80", "other than a port");
        check("unix:a.sock", "absolute path");
        check("unix://host/a.sock", "absolute path");
        check("unix:/", "absolute path");
        check(&format!("unix:/{}", "a".repeat(107)), "107 bytes");
    }

    #[test]
    fn a_password_is_not_repeated() {
        assert!(!BackendUrl::parse("http://user:secret@a").unwrap_err().contains("secret"));
    }
}
