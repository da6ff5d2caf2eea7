//! Names and expiry of a certificate, for operators. rustls does not provide the expiry, so the few DER
//! fields before it are parsed here.

use std::time::{Duration, SystemTime};

/// A certificate of the TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The file it was read from.
    pub file: String,
    /// The names it is valid for, in lower case.
    pub names: Vec<String>,
    /// When it expires; `None` if that can't be read.
    pub expires: Option<SystemTime>,
}

/// Tags of DER (X.690).
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When this certificate expires (RFC 5280 section 4.1): the second time in its `validity`, which follows
/// version, serial number, signature algorithm and issuer.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nobody has certificates there"))]
pub(super) fn expires(der: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = field(der, SEQUENCE)?;
    let (mut fields, _) = field(certificate, SEQUENCE)?;
    if let Some((_, rest)) = field(fields, VERSION) {
        fields = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = field(fields, tag)?;
    }
    let (validity, _) = field(fields, SEQUENCE)?;
    let (_, after_the_first) = time(validity)?;
    time(after_the_first).map(|(expires, _)| expires)
}

/// The content of the first field, which must have this tag, and the bytes after it.
fn field(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // The number of bytes that hold the length.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time as `YYMMDDHHMMSSZ`, with years from 1950 to 2049, or with a four-digit year.
fn time(der: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (text, rest, century) = match field(der, UTC_TIME) {
        Some((text, rest)) => (text, rest, if text.first()? < &b'5' { "20" } else { "19" }),
        None => field(der, GENERALIZED_TIME).map(|(text, rest)| (text, rest, ""))?,
    };
    let text = century.to_owned() + std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let part = |range| text.get(range);
    let (date, clock) = (part(0..8)?, part(8..14)?);
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, second) = (&clock[..2], &clock[2..4], &clock[4..]);
    let written = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    // A certificate without expiry is valid until the last second that can be expressed (RFC 5280 section
    // 4.1.2.5).
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    Some((humantime::parse_rfc3339(&written).unwrap_or(latest), rest))
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_its_time_is_read_in_both_forms() {
        for (year, text) in [(2031, "2031-05-06T00:00:00Z"), (2075, "2075-05-06T00:00:00Z")] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 5, 6);
            let der = params.self_signed(&key).unwrap().der().clone();
            assert_eq!(expires(&der), Some(humantime::parse_rfc3339(text).unwrap()));
            for end in 0..der.len() {
                let _ = expires(&der[..end]);
            }
        }
        assert_eq!(expires(b"nonsense"), None);
    }
}
