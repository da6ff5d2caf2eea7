//! Recognizes formats that can't be read, to name them.

use super::clf_time::TIME_BYTES;
use super::values::address;

/// The name of the format, as a reason for not reading the line; `None` if it is unknown.
pub(super) fn name(line: &str) -> Option<&'static str> {
    let first = line.split(' ').next().unwrap_or_default();
    let has = |text: &str| line.contains(text);
    let name = match () {
        () if is_rfc3339(first) && has(" \"") && !has("level=") => {
            "the log of a classic AWS load balancer, which is not read here"
        }
        () if line.starts_with("#Version") || line.starts_with("#Fields") || is_w3c(line) => {
            "a W3C log (IIS, CloudFront), which is not read here"
        }
        () if is_caddys_console(line) => "Caddy's log for a console, which is not read here",
        () if is_after_syslog(line) => "a line behind syslog's time and host: cut those off first",
        () => return None,
    };
    Some(name)
}

/// Such as `2026-11-27T20:00:00…`.
fn is_rfc3339(text: &str) -> bool {
    is_date(text, b'-') && text.as_bytes().get(10) == Some(&b'T')
}

/// Such as `2026-11-27 20:00:00 …`, separated by blanks or tabs.
fn is_w3c(line: &str) -> bool {
    is_date(line, b'-') && matches!(line.as_bytes().get(10), Some(b' ' | b'\t'))
}

/// Such as `2026/11/27 20:00:00.000\tINFO\t…`.
fn is_caddys_console(line: &str) -> bool {
    is_date(line, b'/') && line.contains('\t')
}

fn is_date(text: &str, mark: u8) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    (0..4).all(is_digit)
        && bytes.get(4) == Some(&mark)
        && is_digit(5)
        && bytes.get(7) == Some(&mark)
        && is_digit(9)
}

/// Such as `Nov 27 20:15:01 lb1 nginx: 192.0.2.1 - - [`, where an address is somewhere before the time.
fn is_after_syslog(line: &str) -> bool {
    let Some((before, time)) = line.split_once(" [") else { return false };
    let mut words = before.split(' ');
    let is_address_first = words.next().is_some_and(|word| address(word).is_ok());
    let has_time = time.get(..TIME_BYTES).and_then(super::clf_time::seconds_since_1970).is_some();
    !is_address_first && has_time && before.contains(": ") && words.any(|word| address(word).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_called_by_its_name() {
        for (line, word) in [
            (
                r#"2026-11-27T20:00:02.186641Z my-lb 192.0.2.19:48160 198.51.100.3:80 200 "GET / HTTP/1.1""#,
                "classic",
            ),
            ("#Fields: date time c-ip", "W3C"),
            ("2026-11-27\t20:00:00\tFRA56\t5\t192.0.2.1", "W3C"),
            ("2026/11/27 20:00:00.000\tINFO\thttp.log.access\thandled request", "console"),
            (
                r#"Nov 27 20:15:01 lb1 nginx: 192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 5"#,
                "syslog",
            ),
        ] {
            let found = name(line).unwrap_or_default();
            assert!(found.contains(word), "{line}: {found:?}");
        }
        for line in [
            "nonsense",
            "example.com - - x",
            "",
            "2026",
            "[x",
            "192.0.2.1 - - [10/Oct/2000:25:55:36 -0700] x",
        ] {
            assert_eq!(name(line), None, "{line}");
        }
    }
}
