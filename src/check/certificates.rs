//! Warnings about valid certificates. Pure.

use std::time::{Duration, SystemTime};

use crate::tls::Certificate;

/// Programs renew certificates weeks in advance; one with less time left was probably forgotten.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
const DAY_SECONDS: u64 = 24 * 3600;

/// One line for each warning.
pub fn warnings(certificates: &[Certificate], now: SystemTime) -> Vec<String> {
    let mut found = Vec::new();
    for (index, one) in certificates.iter().enumerate() {
        found.extend(one.expires.and_then(|expires| expiry(index, one, expires, now)));
        found.extend(twice(index, certificates));
    }
    found
}

fn expiry(index: usize, one: &Certificate, expires: SystemTime, now: SystemTime) -> Option<String> {
    let field = format!("tls.certificates[{index}].certificate: {}", one.file);
    let at = humantime::format_rfc3339_seconds(expires);
    match expires.duration_since(now) {
        Err(_) => Some(format!("{field} has expired, at {at}; clients refuse it")),
        Ok(left) if left < SOON => {
            let days = left.as_secs() / DAY_SECONDS;
            Some(format!("{field} expires in {days} days, at {at}"))
        }
        Ok(_) => None,
    }
}

/// The first certificate for a name is used, so that a later one for the same name has no effect.
fn twice(index: usize, certificates: &[Certificate]) -> Option<String> {
    let known = &certificates[..index];
    certificates[index].names.iter().find_map(|name| {
        let first = known.iter().position(|earlier| earlier.names.contains(name))?;
        Some(format!(
            "tls.certificates[{index}] is for {name}, and so is tls.certificates[{first}], which comes first and \
             serves it"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn certificate(names: &[&str], days: u64) -> Certificate {
        Certificate {
            file: "c.pem".to_owned(),
            names: names.iter().map(ToString::to_string).collect(),
            expires: Some(NOW + Duration::from_secs(days * DAY_SECONDS)),
        }
    }

    #[test]
    fn what_ends_soon_or_is_there_twice_is_told() {
        let fine = [certificate(&["a", "b"], 90), certificate(&["c"], 15)];
        assert_eq!(warnings(&fine, NOW), [""; 0]);
        let soon = warnings(&[certificate(&["a"], 3)], NOW);
        assert_eq!(
            soon,
            ["tls.certificates[0].certificate: c.pem expires in 3 days, at 1970-01-04T00:00:00Z"]
        );
        let late = warnings(&[certificate(&["a"], 3)], NOW + SOON);
        assert!(late[0].contains("has expired, at 1970-01-04T00:00:00Z"), "{late:?}");
        let twice = warnings(&[certificate(&["a"], 90), certificate(&["b", "a"], 90)], NOW);
        assert!(
            twice[0].starts_with("tls.certificates[1] is for a, and so is tls.certificates[0]"),
            "{twice:?}"
        );
    }
}
