//! One form for all spellings of a path. `/admin`, `//admin`, `/%61dmin` and `/x/../admin` are the same page to
//! most backends, so that a route which guards it must take all of them. Pure, and linear in the path's length.

use std::borrow::Cow;

use crate::http::percent;

/// The path with its percent-encoding decoded once, `//` merged and dot segments resolved, as nginx compares it.
pub(super) fn normalized(path: &str) -> Cow<'_, [u8]> {
    if !path.contains('%') && !path.contains("//") && !path.contains("/.") {
        return path.as_bytes().into();
    }
    let decoded = decoded(path);
    let (mut whole, mut ends_in_slash) = (Vec::with_capacity(decoded.len()), false);
    for segment in decoded.split(|byte| *byte == b'/') {
        ends_in_slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => whole.truncate(whole.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                whole.push(b'/');
                whole.extend_from_slice(segment);
            }
        }
    }
    if ends_in_slash || whole.is_empty() {
        whole.push(b'/');
    }
    whole.into()
}

/// The path as it is, unless it has dot segments: they are resolved, so that none climbs above what is put
/// before the path or left of it.
pub(super) fn settled(path: &str) -> Cow<'_, str> {
    let may_have_dots = path.contains("/.") || path.contains('%');
    let has_dots =
        may_have_dots && decoded(path).split(|byte| *byte == b'/').any(|it| it == b"." || it == b"..");
    if has_dots { encoded(&normalized(path)).into() } else { path.into() }
}

/// What follows the prefix, which is normalized and does not end in a slash, in a path without dot segments.
/// `None` unless the prefix is whole segments of the path.
pub(super) fn behind<'p>(path: &'p str, prefix: &[u8]) -> Option<Cow<'p, str>> {
    if let Some(rest) = as_sent_behind(path, prefix) {
        return Some(rest.into());
    }
    // An encoded slash may stand behind the prefix.
    let whole = normalized(path);
    let rest = whole.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
    Some(encoded(rest).into())
}

fn as_sent_behind<'p>(path: &'p str, prefix: &[u8]) -> Option<&'p str> {
    let (mut at, mut is_behind_slash) = (0, false);
    let mut wanted = prefix.iter();
    let mut next = wanted.next();
    while let Some(byte) = next {
        let (sent, width) = percent::byte_at(path.as_bytes(), at)?;
        at += width;
        if sent == b'/' && is_behind_slash {
            continue;
        }
        if sent != *byte {
            return None;
        }
        is_behind_slash = sent == b'/';
        next = wanted.next();
    }
    path.get(at..).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn decoded(path: &str) -> Vec<u8> {
    let (bytes, mut at) = (path.as_bytes(), 0);
    let mut decoded = Vec::with_capacity(bytes.len());
    while let Some((byte, width)) = percent::byte_at(bytes, at) {
        decoded.push(byte);
        at += width;
    }
    decoded
}

/// Encodes what may not stand in a path (RFC 3986 section 3.3).
fn encoded(path: &[u8]) -> String {
    percent::encoded(path, |byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_spellings_of_a_path_are_one() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b", "/a/b"),
            ("/%61/%62", "/a/b"),
            ("/a%2Fb", "/a/b"),
            ("/a%2fb%2F", "/a/b/"),
            ("/./a/./b/.", "/a/b/"),
            ("/x/../a/b", "/a/b"),
            ("/a/b/x/..", "/a/b/"),
            ("/../../a", "/a"),
            ("/x/%2e%2E/a", "/a"),
            ("/x/..%2fa", "/a"),
            ("/..", "/"),
            ("/a/...", "/a/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a%", "/a%"),
            ("/a%2", "/a%2"),
            ("/a%zz", "/a%zz"),
            ("/%2561", "/%61"),
            ("/é", "/é"),
            ("/%C3%A9", "/é"),
        ] {
            assert_eq!(String::from_utf8_lossy(&normalized(path)), expected, "{path}");
        }
    }

    #[test]
    fn only_dot_segments_are_resolved_in_what_is_sent_on() {
        for (path, expected) in [
            ("/a//b/%20c%2Fd", "/a//b/%20c%2Fd"),
            ("/a/.b/c..", "/a/.b/c.."),
            ("/a/../%20b", "/%20b"),
            ("/a/%2E%2e/b?", "/b%3F"),
            ("/a/..%2fb", "/b"),
        ] {
            assert_eq!(settled(path), expected, "{path}");
        }
    }

    proptest! {
        /// A normalized path has nothing left to resolve, and is what its own encoding stands for.
        #[test]
        fn what_is_normalized_stays(path in "/[a./%2eEfF]{0,40}") {
            let whole = normalized(&path).into_owned();
            prop_assert!(whole.starts_with(b"/"));
            prop_assert!(whole.split(|byte| *byte == b'/').all(|segment| segment != b".." && segment != b"."));
            let again = encoded(&whole);
            prop_assert_eq!(&*normalized(&again), &whole[..]);
        }

        /// A prefix that is taken off was there, and the rest can't climb above it.
        #[test]
        fn what_is_behind_a_prefix_stays_behind_it(path in "/(api|%61pi|a|\\.\\.|/|%2F|%2e)(/|%2F)[ap./%2eEfF]{0,20}") {
            let path = settled(&path).into_owned();
            let whole = normalized(&path);
            if let Some(rest) = behind(&path, b"/api") {
                let again = format!("/api{rest}");
                prop_assert_eq!(&*normalized(&again), &*whole);
            }
        }
    }
}
