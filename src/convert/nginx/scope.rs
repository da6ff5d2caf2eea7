//! What the locations of a server have in common.

use super::upstream::Upstream;
use crate::convert::draft::{Object, put};

/// What a server's locations have to know.
pub struct Scope<'a> {
    /// All upstreams.
    pub upstreams: &'a [Upstream],
    /// The server's names; empty is any.
    pub hosts: Vec<String>,
}

impl Scope<'_> {
    /// Adds the host that a route is for.
    pub fn add_hosts(&self, route: &mut Object) {
        match &self.hosts[..] {
            [] => {}
            [host] => put(route, "host", host.as_str()),
            hosts => put(route, "host", hosts.to_vec()),
        }
    }
}
