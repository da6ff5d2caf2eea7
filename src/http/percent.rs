//! Percent-encoding (RFC 3986 section 2.1).

/// The byte at this position, and how many bytes it is written with. `%` without two hexadecimal digits behind
/// it stands for itself. `None` at the end.
pub fn byte_at(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    match bytes.get(at)? {
        b'%' => match (digit(at + 1), digit(at + 2)) {
            (Some(high), Some(low)) => Some(((high * 16 + low) as u8, 3)),
            _ => Some((b'%', 1)),
        },
        byte => Some((*byte, 1)),
    }
}

/// Encodes all bytes but those for which `is_plain` returns true, which must be ASCII.
pub fn encoded(bytes: &[u8], is_plain: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match is_plain(*byte) {
            true => text.push(char::from(*byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
