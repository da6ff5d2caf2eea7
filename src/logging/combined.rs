//! The combined format of nginx and Apache, byte for byte as nginx writes and escapes it.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::SystemTime;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The fields of a line.
pub struct Combined<'a> {
    /// `$remote_addr`
    pub client: IpAddr,
    /// `$remote_user`: the user name that the client claims.
    pub user: Option<&'a [u8]>,
    /// `$time_local`, here always UTC.
    pub time: SystemTime,
    /// The parts of `$request`: method, target, and the protocol's version.
    pub request: (&'a str, &'a str, &'a str),
    /// `$status`
    pub status: u16,
    /// `$body_bytes_sent`
    pub bytes: u64,
    /// `$http_referer`
    pub referer: Option<&'a [u8]>,
    /// `$http_user_agent`
    pub user_agent: Option<&'a [u8]>,
}

impl Combined<'_> {
    /// The line, without its line end.
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(256);
        let (method, target, version) = self.request;
        // Writing to a String can't fail.
        let _ = write!(line, "{} - ", self.client);
        push_escaped(&mut line, self.user.unwrap_or(b"-"));
        line.push_str(" [");
        push_time(&mut line, self.time);
        line.push_str("] \"");
        push_escaped(&mut line, method.as_bytes());
        line.push(' ');
        push_escaped(&mut line, target.as_bytes());
        let _ = write!(line, " {version}\" {:03} {} \"", self.status, self.bytes);
        push_escaped(&mut line, self.referer.unwrap_or(b"-"));
        line.push_str("\" \"");
        push_escaped(&mut line, self.user_agent.unwrap_or(b"-"));
        line.push('"');
        line
    }
}

/// Writes `10/Oct/2000:13:55:36 +0000`.
fn push_time(line: &mut String, time: SystemTime) {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let (Some((year, month, day)), Some(clock)) = (date(&text), text.get(11..19)) else { return };
    let _ = write!(line, "{day}/{month}/{year}:{clock} +0000");
}

/// The year, the month's name and the day of an RFC 3339 time.
fn date(text: &str) -> Option<(&str, &'static str, &str)> {
    let month: usize = text.get(5..7)?.parse().ok()?;
    Some((text.get(..4)?, MONTHS.get(month.checked_sub(1)?)?, text.get(8..10)?))
}

/// Escapes as nginx does by default: quotes, backslashes and all bytes other than printable ASCII become
/// `\xXX`.
fn push_escaped(line: &mut String, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' | ..=0x1f | 0x7f.. => {
                let _ = write!(line, "\\x{byte:02X}");
            }
            _ => line.push(char::from(*byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_is_as_nginx_writes_it() {
        let line = Combined {
            client: IpAddr::from([192, 0, 2, 7]),
            user: None,
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(971_186_136),
            request: ("GET", "/a?b=\"c\"\\é", "HTTP/1.1"),
            status: 200,
            bytes: 12,
            referer: Some(b"http://www.example.com/start"),
            user_agent: Some(b"a\tb\x7f\xff"),
        };
        let expected = "192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] \"GET /a?b=\\x22c\\x22\\x5C\\xC3\\xA9 HTTP/1.1\" \
                        200 12 \"http://www.example.com/start\" \"a\\x09b\\x7F\\xFF\"";
        assert_eq!(line.line(), expected);
    }
}
