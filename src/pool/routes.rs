//! Which pool a request belongs to: the most specific route wins, whatever its place in the list.

use crate::config::Route;
use crate::http::RequestHead;

/// Routes in the order to try: exact hosts before `*.` ones before any, longer before shorter.
#[derive(Debug, Default)]
pub struct Routes(Vec<Entry>);

/// One host of a route.
#[derive(Debug)]
struct Entry {
    /// `None` is any.
    host: Option<String>,
    path: String,
    pool: usize,
}

impl Routes {
    /// `pool` tells the index of the pool of that name.
    pub fn new(routes: &[Route], pool: impl Fn(&str) -> Option<usize>) -> Routes {
        let mut entries = Vec::new();
        for route in routes {
            let Some(pool) = pool(&route.pool) else { continue };
            let mut add = |host| entries.push(Entry { host, path: route.path.clone(), pool });
            match route.hosts.is_empty() {
                true => add(None),
                false => route.hosts.iter().cloned().map(Some).for_each(add),
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(specificity(entry)));
        Routes(entries)
    }

    /// The index of the request's pool; `None` where no route is for it.
    pub fn find(&self, head: &RequestHead) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let (host, path) = (bare_host(head.host()), head.path());
        let is_for = |entry: &Entry| entry.host.as_deref().is_none_or(|wanted| host_matches(wanted, &host));
        self.0.iter().find(|entry| is_for(entry) && path_matches(&entry.path, path)).map(|entry| entry.pool)
    }
}

fn specificity(entry: &Entry) -> (u8, usize, usize) {
    let (kind, length) = match entry.host.as_deref() {
        None => (0, 0),
        Some(host) if host.starts_with("*.") => (1, host.len()),
        Some(host) => (2, host.len()),
    };
    (kind, length, entry.path.len())
}

/// Lower-cased, without port and without the dot that some write at the end.
fn bare_host(host: &str) -> String {
    let end = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => colon,
        _ => host.len(),
    };
    host[..end].trim_end_matches('.').to_ascii_lowercase()
}

/// `*.example.com` is any number of names before `.example.com`, one at least.
fn host_matches(wanted: &str, host: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => host == wanted,
    }
}

/// By whole segments: `/v1` is for `/v1` and `/v1/x`, not for `/v10`.
fn path_matches(wanted: &str, path: &str) -> bool {
    let wanted = wanted.trim_end_matches('/');
    path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Headers, Version};

    fn route(host: Option<&str>, path: &str, pool: &str) -> Route {
        let hosts = host.map(|list| list.split(' ').map(str::to_owned).collect());
        Route { hosts: hosts.unwrap_or_default(), path: path.to_owned(), pool: pool.to_owned() }
    }

    fn routes() -> Routes {
        let list = [
            route(None, "/", "0"),
            route(None, "/v1", "1"),
            route(Some("*.example.com"), "/", "2"),
            route(Some("api.example.com"), "/", "3"),
            route(Some("api.example.com"), "/v1/", "4"),
            route(Some("*.b.example.com c.example.com"), "/", "5"),
        ];
        Routes::new(&list, |name| name.parse().ok())
    }

    #[test]
    fn the_most_specific_route_wins() {
        for (host, target, pool) in [
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
            let mut headers = Headers::default();
            headers.push("Host", host.as_bytes());
            let head = RequestHead {
                method: "GET".into(),
                target: target.into(),
                version: Version::Http11,
                headers,
            };
            assert_eq!(routes().find(&head), Some(pool), "{host}{target}");
        }
    }

    #[test]
    fn without_routes_nothing_is_found() {
        let head = RequestHead {
            method: "GET".into(),
            target: "/".into(),
            version: Version::Http11,
            headers: Headers::default(),
        };
        assert_eq!(Routes::default().find(&head), None);
    }
}
