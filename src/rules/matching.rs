//! Finds the route of a request: the most specific one wins, regardless of its position in the list.

use std::borrow::Cow;

use regex::Regex;

use super::path;
use crate::config::{PathMatch, Route};
use crate::http::RequestHead;

/// Routes in the order of matching: exact hosts before `*.` hosts before no host; then exact paths before
/// regular expressions before prefixes, longer before shorter; then those with more conditions. Otherwise in
/// the order of the list.
#[derive(Debug, Default)]
pub struct Routes(Vec<Entry>);

/// A route with one of its hosts.
#[derive(Debug)]
struct Entry {
    /// `None` matches any host.
    host: Option<String>,
    path: Path,
    methods: Vec<String>,
    headers: Vec<(String, Option<String>)>,
    query: Vec<(String, Option<String>)>,
    route: usize,
}

#[derive(Debug)]
enum Path {
    Prefix(String),
    Exact(String),
    Regex(Regex),
}

impl Routes {
    /// Sorts the routes; each is identified by its index.
    pub fn new(routes: &[Route]) -> Routes {
        let mut entries = Vec::new();
        for (number, route) in routes.iter().enumerate() {
            let hosts: Vec<Option<String>> = match route.hosts.is_empty() {
                true => vec![None],
                false => route.hosts.iter().cloned().map(Some).collect(),
            };
            for host in hosts {
                let path = match &route.path {
                    PathMatch::Prefix(path) => Path::Prefix(plain(path).into_owned()),
                    PathMatch::Exact(path) => Path::Exact(plain(path).into_owned()),
                    // An invalid expression was refused when the configuration was read.
                    PathMatch::Regex(text) => match Regex::new(text) {
                        Ok(regex) => Path::Regex(regex),
                        Err(_) => continue,
                    },
                };
                entries.push(Entry {
                    host,
                    path,
                    methods: route.methods.clone(),
                    headers: route.headers.clone(),
                    query: route.query.clone(),
                    route: number,
                });
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(specificity(entry)));
        Routes(entries)
    }

    /// The index of the route for the request; `None` if no route matches.
    pub fn find(&self, head: &RequestHead) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let (host, path) = (bare_host(head.host()), plain(head.path()));
        self.0.iter().find(|entry| entry.is_for(&host, &path, head)).map(|entry| entry.route)
    }
}

impl Entry {
    fn is_for(&self, host: &str, path: &str, head: &RequestHead) -> bool {
        self.host.as_deref().is_none_or(|wanted| host_matches(wanted, host))
            && self.path.is_for(path)
            && (self.methods.is_empty() || self.methods.contains(&head.method))
            && self.headers.iter().all(|(name, wanted)| has_field(head, name, wanted.as_deref()))
            && self.query.iter().all(|(name, wanted)| has_parameter(head, name, wanted.as_deref()))
    }
}

impl Path {
    fn is_for(&self, path: &str) -> bool {
        match self {
            Path::Prefix(wanted) => path_matches(wanted, path),
            Path::Exact(wanted) => path == wanted,
            Path::Regex(regex) => regex.is_match(path),
        }
    }
}

/// The one form of a path in which paths are compared.
fn plain(path: &str) -> Cow<'_, str> {
    match path::normalized(path) {
        Cow::Borrowed(_) => path.into(),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

fn specificity(entry: &Entry) -> (u8, usize, u8, usize, usize) {
    let (kind, length) = match entry.host.as_deref() {
        None => (0, 0),
        Some(host) if host.starts_with("*.") => (1, host.len()),
        Some(host) => (2, host.len()),
    };
    let (path_kind, path_length) = match &entry.path {
        Path::Prefix(path) => (0, path.len()),
        // All equal, so that the list's order decides: which expression is more specific can't be computed.
        Path::Regex(_) => (1, 0),
        Path::Exact(path) => (2, path.len()),
    };
    let conditions = usize::from(!entry.methods.is_empty()) + entry.headers.len() + entry.query.len();
    (kind, length, path_kind, path_length, conditions)
}

/// Whether one of the fields with this name has the wanted value; with `None`, whether there is no such
/// field.
fn has_field(head: &RequestHead, name: &str, wanted: Option<&str>) -> bool {
    match wanted {
        Some(value) => head.headers.get_all(name).any(|sent| sent == value.as_bytes()),
        None => head.headers.get(name).is_none(),
    }
}

/// Like [`has_field`], for query parameters. Compared undecoded, because backends decode in different ways.
fn has_parameter(head: &RequestHead, name: &str, wanted: Option<&str>) -> bool {
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    let values = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    let mut values = values;
    match wanted {
        Some(wanted) => values.any(|value| value == wanted),
        None => values.next().is_none(),
    }
}

/// The host in lower case, without the port and without a trailing dot.
fn bare_host(host: &str) -> String {
    let end = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => colon,
        _ => host.len(),
    };
    host[..end].trim_end_matches('.').to_ascii_lowercase()
}

/// `*.example.com` matches one or more labels before `.example.com`.
fn host_matches(wanted: &str, host: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == wanted,
    }
}

/// Matches whole segments: `/v1` matches `/v1` and `/v1/x`, not `/v10`.
fn path_matches(wanted: &str, path: &str) -> bool {
    let wanted = wanted.trim_end_matches('/');
    path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};
    use crate::http::{Headers, Version};

    /// Routes to pools that are named after their index.
    fn routes(list: &str) -> Routes {
        let pools: Vec<String> = (0..10)
            .map(|number| format!(r#""{number}": {{ "backends": [{{ "url": "http://a" }}] }}"#))
            .collect();
        let text = format!(r#"{{ "pools": {{ {} }}, "routes": [{list}] }}"#, pools.join(","));
        Routes::new(&parse(&text, &Overrides::default()).unwrap().routes)
    }

    fn head(method: &str, host: &str, target: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut headers = Headers::default();
        headers.push("Host", host.as_bytes());
        fields.iter().for_each(|(name, value)| headers.push(name, value.as_bytes()));
        RequestHead { method: method.into(), target: target.into(), version: Version::Http11, headers }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = routes(
            r#"{ "path": "/", "pool": "0" }, { "path": "/v1", "pool": "1" },
               { "host": "*.example.com", "pool": "2" }, { "host": "api.example.com", "pool": "3" },
               { "host": "api.example.com", "path": "/v1/", "pool": "4" },
               { "host": ["*.b.example.com", "c.example.com."], "pool": "5" }"#,
        );
        for (host, target, route) in [
            ("x.org", "/", 0),
            ("x.org", "/v1", 1),
            ("x.org", "/v1/a?b", 1),
            ("x.org", "/v10", 0),
            ("www.example.com", "/v1", 2),
            ("example.com", "/", 0),
            ("API.Example.com:8080", "/v2", 3),
            ("api.example.com.", "/v1", 4),
            ("api.example.com", "/v1/x", 4),
            ("a.b.example.com", "/v1", 5),
            ("c.example.com", "/v1", 5),
            ("[::1]:80", "/", 0),
        ] {
            assert_eq!(routes.find(&head("GET", host, target, &[])), Some(route), "{host}{target}");
        }
    }

    #[test]
    fn exact_paths_come_before_expressions_before_prefixes_and_conditions_count() {
        let routes = routes(
            r#"{ "path": "/v1", "pool": "0" }, { "path_regex": "^/v[0-9]+/users", "pool": "1" },
               { "path_regex": "^/v", "pool": "2" }, { "path_exact": "/v1/users", "pool": "3" },
               { "path_exact": "/v1/users", "methods": ["POST", "PUT"], "pool": "4" },
               { "path": "/x", "headers": { "X-Beta": "1" }, "pool": "5" },
               { "path": "/x", "headers": { "X-Beta": "1" }, "query": { "debug": null }, "pool": "6" },
               { "path": "/x", "query": { "v": "2" }, "pool": "7" }"#,
        );
        for (method, target, fields, route) in [
            ("GET", "/v1/users", &[][..], Some(3)),
            ("PUT", "/v1/users", &[], Some(4)),
            ("GET", "/v1/users/7", &[], Some(1)),
            ("GET", "/v1/other", &[], Some(2)),
            ("GET", "/x", &[("x-beta", "1")], Some(6)),
            ("GET", "/x?debug", &[("x-beta", "1")], Some(5)),
            ("GET", "/x?v=2", &[("x-beta", "2")], Some(7)),
            ("GET", "/x?v=22", &[], None),
            ("GET", "/", &[], None),
        ] {
            assert_eq!(
                routes.find(&head(method, "a", target, fields)),
                route,
                "{method} {target} {fields:?}"
            );
        }
    }

    #[test]
    fn however_a_path_is_spelled_it_is_the_same_route_s() {
        let routes = routes(
            r#"{ "path": "/", "pool": "0" }, { "path": "/admin", "pool": "1" },
               { "path_exact": "/a%20b/c", "pool": "2" }, { "path_regex": "^/v[0-9]+$", "pool": "3" }"#,
        );
        for (target, route) in [
            ("/%61dmin", 1),
            ("//admin", 1),
            ("/./admin/x", 1),
            ("/x/../admin", 1),
            ("/x/%2E%2e/admin?q", 1),
            ("/admin%2Fx", 1),
            ("http://a//admin", 1),
            ("/admin/../x", 0),
            ("/admin%2F..%2Fx", 0),
            ("/administrator", 0),
            ("/a%20b//c", 2),
            ("//v%31", 3),
            ("*", 0),
        ] {
            assert_eq!(routes.find(&head("GET", "a", target, &[])), Some(route), "{target}");
        }
    }

    #[test]
    fn without_routes_nothing_is_found() {
        assert_eq!(Routes::default().find(&head("GET", "a", "/", &[])), None);
    }
}
