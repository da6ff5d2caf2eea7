//! `listen`: the addresses that clients connect to, as an address, a Unix socket, or a list of them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::as_text::written_as_text;
use super::error::quoted;
use super::raw::{Fields, Scalar};
use super::read::text;
use super::{Config, address};

/// The accepted forms, for messages.
const LISTEN: &str = r#"an address such as "0.0.0.0:8080", "[::1]:8080" or ":8080", "unix:/run/lb.sock?mode=0660", or a list of them"#;
const UNIX: &str = r#""unix:/run/lb.sock" or "unix:/run/lb.sock?mode=0660""#;
/// Size of the path in `sockaddr_un` without the final NUL.
const MOST_PATH_BYTES: usize = 107;
/// Limit of listeners: a renewal hands all their sockets over in one message.
pub const MOST_LISTENERS: usize = 16;

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Absolute path of its file.
        path: String,
        /// The mode of the file, as for `chmod`; `None` leaves it to the process's umask.
        mode: Option<u32>,
    },
}

impl ListenAddress {
    /// Parses one address.
    pub(super) fn parse(text: &str) -> Result<ListenAddress, String> {
        match text.strip_prefix("unix:") {
            Some(rest) => unix(rest).map_err(|reason| format!("{} {reason}; write {UNIX}", quoted(text))),
            None => address::listen(text).map(ListenAddress::Tcp),
        }
    }

    /// The IP address and port, for a TCP listener.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix { .. } => None,
        }
    }
}

fn unix(rest: &str) -> Result<ListenAddress, &'static str> {
    let (path, mode) = match rest.split_once('?') {
        None => (rest, None),
        Some((path, option)) => {
            let digits = option.strip_prefix("mode=").ok_or("has something behind ? that is no mode")?;
            let is_octal =
                (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
            let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
            (path, Some(mode.ok_or("has a mode that is none, such as 0660")?))
        }
    };
    match path {
        _ if !path.starts_with('/') || path.ends_with('/') => Err("has no absolute path of a file"),
        _ if path.chars().any(char::is_control) => Err("has a control character in it"),
        _ if path.len() > MOST_PATH_BYTES => Err("has a path longer than the 107 bytes of a socket's"),
        _ => Ok(ListenAddress::Unix { path: path.to_owned(), mode }),
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix { path, mode: None } => write!(f, "unix:{path}"),
            ListenAddress::Unix { path, mode: Some(mode) } => write!(f, "unix:{path}?mode={mode:04o}"),
        }
    }
}

/// Reads `listen` of an object whose field paths begin with `prefix`: the empty string or `tls.`.
pub(super) fn listen(fields: &Fields<'_>, prefix: &str, default: Vec<ListenAddress>) -> Vec<ListenAddress> {
    let Some(value) = fields.get("listen") else { return default };
    let one = text(LISTEN, ListenAddress::parse);
    if !matches!(value.scalar(), Scalar::List) {
        return value.read(one).map_or(default, |one| vec![one]);
    }
    let items = value.items().unwrap_or_default();
    match items.len() {
        0 => value.mistake(format!("empty; write {LISTEN}")),
        1..=MOST_LISTENERS => {}
        more => value.mistake(format!("{more} listeners, and {MOST_LISTENERS} are the most; write fewer")),
    }
    let mut found: Vec<ListenAddress> = Vec::new();
    for item in items.iter().take(MOST_LISTENERS) {
        let Some(listen) = item.read(&one) else { continue };
        match found.iter().position(|other| clash(other, &listen)) {
            Some(other) => item.mistake(format!(
                "{listen} overlaps `{prefix}listen[{other}]`, which is {}; leave one of them out",
                found[other]
            )),
            None => found.push(listen),
        }
    }
    if found.is_empty() { default } else { found }
}

/// Whether two listeners overlap; a listener on all addresses overlaps each single one.
pub(super) fn clash(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => address::clash(*one, *other),
        (ListenAddress::Unix { path: one, .. }, ListenAddress::Unix { path: other, .. }) => one == other,
        _ => false,
    }
}

impl Config {
    /// Whether connections from this address may begin with a PROXY header.
    pub fn may_send_proxy_header(&self, peer: IpAddr) -> bool {
        let from = self.proxy_protocol_from.as_ref();
        from.is_none_or(|networks| networks.iter().any(|network| network.contains(&peer)))
    }
}

written_as_text!(ListenAddress);

#[cfg(test)]
mod tests {
    use crate::config::{Overrides, parse};

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let read = parse(&format!(r#"{{ "listen": {text} }}"#), &Overrides::default());
        match (read, expected) {
            (Ok(config), Ok(expected)) => {
                let written = config.to_json()["listen"].to_string();
                assert_eq!(written, expected, "{text}");
            }
            (Err(errors), Err(expected)) => {
                assert_eq!(errors.mistakes().len(), 1, "{errors}");
                assert!(errors.to_string().contains(expected), "{errors}");
            }
            (read, _) => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn one_or_several_of_either_kind() {
        check(r#"":80""#, Ok(r#""[::]:80""#));
        check(r#"[":80"]"#, Ok(r#""[::]:80""#));
        check(r#""unix:/run/a.sock""#, Ok(r#""unix:/run/a.sock""#));
        check(
            r#"["127.0.0.1:80", "[::1]:80", "unix:/a?mode=660"]"#,
            Ok(r#"["127.0.0.1:80","[::1]:80","unix:/a?mode=0660"]"#),
        );
        // With port 0 the system chooses different ports.
        check(r#"["127.0.0.1:0", "127.0.0.1:0"]"#, Ok(r#"["127.0.0.1:0","127.0.0.1:0"]"#));
    }

    #[test]
    fn mistakes_name_the_listener() {
        check("[]", Err("listen: empty; write"));
        check("5", Err("listen: found the number 5; write an address"));
        check(
            r#"[":80", "127.0.0.1:80"]"#,
            Err("listen[1]: 127.0.0.1:80 overlaps `listen[0]`, which is [::]:80"),
        );
        check(r#"["unix:/a", "unix:/a?mode=600"]"#, Err("listen[1]: unix:/a?mode=0600 overlaps"));
        check(r#"["unix:a"]"#, Err("listen[0]: \"unix:a\" has no absolute path"));
        check(r#""unix:@name""#, Err("no absolute path"));
        check(r#""unix:/a?mode=999""#, Err("a mode that is none, such as 0660"));
        check(r#""unix:/a?mode=1777""#, Err("a mode that is none"));
        check(r#""unix:/a?user=x""#, Err("no mode"));
        check(&format!("\"unix:/{}\"", "a".repeat(107)), Err("107 bytes"));
        let many = (0..17).map(|port| format!("\":{}\"", port + 1)).collect::<Vec<_>>().join(",");
        check(&format!("[{many}]"), Err("17 listeners, and 16 are the most"));
    }
}
