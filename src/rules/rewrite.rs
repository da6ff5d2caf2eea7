//! Path rewriting for backends: strips a prefix, then adds one.

use std::borrow::Cow;

use super::path;
use crate::config::Route;

/// The prefixes, without a trailing slash; `None` leaves the path unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Normalized.
    strip: Option<Vec<u8>>,
    add: Option<String>,
}

impl Rewrite {
    /// The rewriting that the route configures.
    pub(super) fn of(route: &Route) -> Rewrite {
        Rewrite::new(route.strip_prefix.as_deref(), route.add_prefix.clone())
    }

    fn new(strip: Option<&str>, add: Option<String>) -> Rewrite {
        Rewrite { strip: strip.map(|prefix| path::normalized(prefix).into_owned()), add }
    }

    /// The target for the backend; a path without the prefix to strip keeps its beginning.
    pub fn apply<'t>(&self, target: Cow<'t, str>) -> Cow<'t, str> {
        if (self.strip.is_none() && self.add.is_none()) || !target.starts_with('/') {
            return target;
        }
        let (sent, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let sent = path::settled(sent);
        let add = self.add.as_deref().unwrap_or_default();
        match self.strip.as_deref().and_then(|prefix| path::behind(&sent, prefix)) {
            None => format!("{add}{sent}{query}").into(),
            // Exactly one slash: two could be read as the start of a host.
            Some(rest) => format!("{add}/{}{query}", rest.trim_start_matches('/')).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_off_by_whole_segments_and_put_before() {
        let check = |strip: Option<&str>, add: Option<&str>, target: &str, expected: &str| {
            let rewrite = Rewrite::new(strip, add.map(str::to_owned));
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
        check(Some("/api"), None, "/api/%20a%2Fb?c", "/%20a%2Fb?c");
        check(Some("/api"), None, "//api//x", "/x");
        check(Some("/api"), None, "/%61pi/%2e.x", "/%2e.x");
        check(Some("/api"), None, "/api%2Fx", "/x");
        check(Some("/a b"), None, "/a%20b/x", "/x");
        check(Some("/api"), Some("/v2"), "/x/../api/./x/?..", "/v2/x/?..");
        check(Some("/api"), Some("/v2"), "/api/..%2Fapi/../../x", "/v2/x");
        check(None, Some("/v2"), "/../x", "/v2/x");
        check(None, None, "/x", "/x");
    }
}
