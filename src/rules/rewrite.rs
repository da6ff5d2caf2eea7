//! What a backend sees of a path: a beginning that was taken off, and one that was put before it.

use std::borrow::Cow;

use crate::config::Route;

/// Prefixes without a slash at their end; `None` does nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    strip: Option<String>,
    add: Option<String>,
}

impl Rewrite {
    /// As the route says.
    pub(super) fn of(route: &Route) -> Rewrite {
        Rewrite { strip: route.strip_prefix.clone(), add: route.add_prefix.clone() }
    }

    /// The target for the backend; a path that does not begin with what is taken off keeps its beginning.
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

/// By whole segments. What is left begins with one slash: with two it could be read as a host.
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
