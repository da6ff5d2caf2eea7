//! HAProxy's `deny` and Caddy's `respond` come before every choice of a backend. Here the most specific route wins, so whom it keeps
//! out has to be said in each route that it is for.

use super::draft::{DraftRoute, Object, push, put};
use super::order::{hosts_meet, path_is_within, paths_meet};
use super::report::{Place, Report, Verdict};
use super::text::MOST_ROUTES;

/// Who is kept out of what.
#[derive(Debug)]
pub struct Guard {
    /// Conditions of routes.
    pub terms: Object,
    /// `allow` or `deny` with networks; or `respond`, for everybody.
    pub networks: Object,
    /// Where it stands.
    pub place: Place,
    /// As it was written.
    pub text: String,
}

impl Guard {
    /// Says it in all routes that it is for; where it is for a part of one, that part is a route of its own.
    pub fn keep_out(&self, routes: &mut Vec<DraftRoute>, report: &mut Report) {
        if routes.len() > MOST_ROUTES {
            report.note(&self.place, &self.text, Verdict::NotHere, "too many routes; say it in each");
            return;
        }
        let is_of_all_of_them = self.terms.keys().all(|name| name.starts_with("path") || name == "host");
        let mut parts: Vec<DraftRoute> = Vec::new();
        for route in routes.iter_mut().filter(|route| hosts_meet(&route.fields, &self.terms)) {
            let host = self.terms.get("host");
            let has_host = host.is_none() || host == route.fields.get("host");
            let is_inside = path_is_within(&route.fields, &self.terms);
            if is_inside && has_host && is_of_all_of_them {
                self.say(&mut route.fields);
            } else if is_inside || path_is_within(&self.terms, &route.fields) {
                let mut part = route.clone();
                for (name, value) in &self.terms {
                    if !(is_inside && name.starts_with("path")) {
                        if name.starts_with("path") {
                            part.fields.remove("path");
                        }
                        put(&mut part.fields, name, value.clone());
                    }
                }
                self.say(&mut part.fields);
                parts.push(DraftRoute { place: self.place.clone(), name: self.text.clone(), ..part });
            } else if paths_meet(&route.fields, &self.terms) {
                let note = format!("say it in the route of line {} as well", route.place.line);
                report.note(&self.place, &self.text, Verdict::NotHere, note);
            }
        }
        parts.append(routes);
        *routes = parts;
    }

    fn say(&self, route: &mut Object) {
        for (which, value) in &self.networks {
            match value.as_array() {
                Some(networks) => networks.iter().for_each(|network| push(route, which, network.clone())),
                None => {
                    route.retain(|name, _| {
                        name.starts_with("path")
                            || ["host", "methods", "headers", "query"].contains(&name.as_str())
                    });
                    put(route, which, value.clone());
                }
            }
        }
    }
}
