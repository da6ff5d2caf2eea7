//! Path rewriting for backends: strips a prefix, then adds one.

use std::borrow::Cow;

use crate::config::Route;

/// The prefixes, without a trailing slash; `None` leaves the path unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    strip: Option<String>,
    add: Option<String>,
}

impl Rewrite {
    /// The rewriting that the route configures.
    pub(super) fn of(route: &Route) -> Rewrite {
        Rewrite { strip: route.strip_prefix.clone(), add: route.add_prefix.clone() }
    }

    /// The target for the backend; a path without the prefix to strip keeps its beginning.
    pub fn apply<'t>(&self, target: Cow<'t, str>) -> Cow<'t, str> {
        if (self.strip.is_none() && self.add.is_none()) || !target.starts_with('/') {
            return target;
        }
        let stripped = self.strip.as_deref().and_then(|prefix| without(&target, prefix));
        match (&self.add, stripped) {
            (None, None) => target,
            (None, Some(rest)) => rest.into(),
            (Some(add), None) => format!("{add}{target}").into(),
            (Some(add), Some(rest)) => format!("{add}{rest}").into(),
        }
    }
}

/// Strips whole segments. The rest begins with exactly one slash: two could be read as the start of a host.
fn without(target: &str, prefix: &str) -> Option<String> {
    let rest = target.strip_prefix(prefix)?;
    match rest.as_bytes().first() {
        None => Some("/".to_owned()),
        Some(b'?') => Some(format!("/{rest}")),
        Some(b'/') => Some(format!("/{}", rest.trim_start_matches('/'))),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_off_by_whole_segments_and_put_before() {
        let check = |strip: Option<&str>, add: Option<&str>, target: &str, expected: &str| {
            let rewrite = Rewrite { strip: strip.map(str::to_owned), add: add.map(str::to_owned) };
            assert_eq!(rewrite.apply(target.into()), expected, "{strip:?} {add:?} {target}");
        };
        check(Some("/api"), None, "/api/v1?x=/api", "/v1?x=/api");
        check(Some("/api"), None, "/api", "/");
        check(Some("/api"), None, "/api?x", "/?x");
        check(Some("/api"), None, "/apis/v1", "/apis/v1");
        check(Some("/api"), None, "/api//evil.example", "/evil.example");
        check(None, Some("/app"), "/v1", "/app/v1");
        check(Some("/api"), Some("/v2"), "/api/x", "/v2/x");
        check(Some("/api"), Some("/v2"), "*", "*");
        check(None, None, "/x", "/x");
    }
}
