//! Data shared by the locations of a server.

use super::upstream::Upstream;
use crate::convert::draft::Object;
use crate::convert::guard::for_hosts;

/// The context of a server's locations.
pub struct Scope<'a> {
    /// All upstreams.
    pub upstreams: &'a [Upstream],
    /// The server's names; empty matches any.
    pub hosts: Vec<String>,
}

impl Scope<'_> {
    /// Adds the hosts to a route.
    pub fn add_hosts(&self, route: &mut Object) {
        for_hosts(route, &self.hosts);
    }
}
