//! HAProxy's `deny` and Caddy's `respond` apply before a backend is chosen. Here the most specific route
//! wins, so a restriction must be repeated in every route that it concerns.

use serde_json::Value as Json;

use super::draft::{DraftRoute, Object, push, put};
use super::order::{common_hosts, hosts, hosts_meet, path_is_within, paths_meet};
use super::report::{Place, Report, Verdict};
use super::text::MOST_ROUTES;

/// A restriction on some requests.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The conditions, as in a route.
    pub terms: Object,
    /// `allow` or `deny` with networks; or `respond` or `redirect`, for all clients.
    pub networks: Object,
    /// The restriction's position.
    pub place: Place,
    /// The restriction as written.
    pub text: String,
}

impl Guard {
    /// Adds the restriction to all routes that it concerns. If it concerns only a part of a route's requests,
    /// that part becomes a route of its own.
    pub fn keep_out(&self, routes: &mut Vec<DraftRoute>, report: &mut Report) {
        if routes.len() > MOST_ROUTES {
            report.note(&self.place, &self.text, Verdict::NotHere, "too many routes; say it in each");
            return;
        }
        let is_of_all_of_them = self.terms.keys().all(|name| name.starts_with("path") || name == "host");
        let mut parts: Vec<DraftRoute> = Vec::new();
        for route in routes.iter_mut().filter(|route| hosts_meet(&route.fields, &self.terms)) {
            let common: Vec<String> =
                common_hosts(&route.fields, &self.terms).into_iter().map(str::to_owned).collect();
            let has_host = common == hosts(&route.fields);
            let is_inside = path_is_within(&route.fields, &self.terms);
            if is_inside && has_host && is_of_all_of_them {
                if self.say(&mut route.fields, report) {
                    (route.place, route.name) = (self.place.clone(), self.text.clone());
                }
            } else if is_inside || path_is_within(&self.terms, &route.fields) {
                let mut part = route.clone();
                for (name, value) in self.terms.iter().filter(|(name, _)| *name != "host") {
                    if !(is_inside && name.starts_with("path")) {
                        if name.starts_with("path") {
                            part.fields.remove("path");
                        }
                        put(&mut part.fields, name, value.clone());
                    }
                }
                if !has_host {
                    for_hosts(&mut part.fields, &common);
                }
                if is_inside && is_of_all_of_them {
                    // What is left of a list of hosts.
                    let rest: Vec<String> = hosts(&route.fields)
                        .into_iter()
                        .filter(|host| !common.iter().any(|it| it == host))
                        .map(str::to_owned)
                        .collect();
                    if !rest.is_empty() {
                        for_hosts(&mut route.fields, &rest);
                    }
                }
                self.say(&mut part.fields, report);
                parts.push(DraftRoute { place: self.place.clone(), name: self.text.clone(), ..part });
            } else if paths_meet(&route.fields, &self.terms) {
                let note = format!("say it in the route of line {} as well", route.place.line);
                report.note(&self.place, &self.text, Verdict::NotHere, note);
            }
        }
        parts.append(routes);
        *routes = parts;
    }

    /// Returns whether the route is now an answer of the restriction's.
    fn say(&self, route: &mut Object, report: &mut Report) -> bool {
        let is_answer = ["respond", "redirect"].iter().any(|answer| self.networks.contains_key(*answer));
        if is_answer {
            route.retain(|name, _| {
                name.starts_with("path") || ["host", "methods", "headers", "query"].contains(&name.as_str())
            });
        }
        for (which, value) in &self.networks {
            match (which.as_str(), value.as_array()) {
                ("allow", Some(_)) => {
                    if allow_only(route, value) {
                        report.note(&self.place, &self.text, Verdict::NotHere, CLOSED);
                    }
                }
                (_, Some(networks)) => {
                    networks.iter().for_each(|network| push(route, which, network.clone()))
                }
                (_, None) => put(route, which, value.clone()),
            }
        }
        is_answer
    }
}

/// Sets the hosts of a route.
pub fn for_hosts(route: &mut Object, hosts: &[String]) {
    match hosts {
        [] => {}
        [host] => put(route, "host", host.as_str()),
        hosts => put(route, "host", hosts.to_vec()),
    }
}

/// The note for a restriction that we can't express.
pub const CLOSED: &str = "the route is closed (`deny`) until it says who may ask";

/// Allows only these networks. If the route already allows others, a client would have to be in both lists,
/// which we can't express: then the route is closed to all clients, and the result is true.
pub fn allow_only(route: &mut Object, networks: &Json) -> bool {
    match route.get("allow") {
        Some(there) if there != networks => {
            close(route);
            true
        }
        _ => {
            route.insert("allow".to_owned(), networks.clone());
            false
        }
    }
}

/// Closes the route to all clients.
pub fn close(route: &mut Object) {
    for all in ["0.0.0.0/0", "::/0"] {
        push(route, "deny", all);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_lists_of_who_may_ask_close_the_route() {
        let mut route = Object::new();
        assert!(!allow_only(&mut route, &json!(["10.0.0.0/8"])));
        assert!(!allow_only(&mut route, &json!(["10.0.0.0/8"])));
        assert!(allow_only(&mut route, &json!(["192.0.2.0/24"])));
        assert_eq!(route["deny"], json!(["0.0.0.0/0", "::/0"]));
    }
}
