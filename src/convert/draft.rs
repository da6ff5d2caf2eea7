//! Our configuration while it is being written. Parts are JSON objects, as they will stand in the file; a field is
//! named by its path (`timeouts.request`).

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::report::{Place, Report, Verdict};

/// An object of the file.
pub type Object = Map<String, Json>;

/// A route, and where the old file says it.
#[derive(Debug, Clone)]
pub struct DraftRoute {
    /// As it will stand in the file.
    pub fields: Object,
    /// Where it comes from.
    pub place: Place,
    /// How the old file names it.
    pub name: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Draft {
    /// What stands on top.
    pub top: Object,
    /// Pools by name.
    pools: Vec<(String, Object)>,
    /// In the order in which the old program would try them.
    pub routes: Vec<DraftRoute>,
}

/// Sets a field; objects on the way come into being.
pub fn put(object: &mut Object, path: &str, value: impl Into<Json>) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match rest {
        None => drop(object.insert(first.to_owned(), value.into())),
        Some(rest) => {
            let inner = object.entry(first).or_insert_with(|| json!({}));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Appends to a list.
pub fn push(object: &mut Object, field: &str, value: impl Into<Json>) {
    if let Json::Array(list) = object.entry(field).or_insert_with(|| json!([])) {
        let value = value.into();
        if !list.contains(&value) {
            list.push(value);
        }
    }
}

/// A rule about a field of requests or answers (`request_headers`, `response_headers`). Names may have dots.
pub fn header(object: &mut Object, which: &str, how: &str, name: &str, value: &str) {
    let rules = object.entry(which).or_insert_with(|| json!({}));
    let Json::Object(rules) = rules else { return };
    match how {
        "remove" => push(rules, how, name),
        _ => {
            if let Json::Object(values) = rules.entry(how).or_insert_with(|| json!({})) {
                values.insert(name.to_owned(), json!(value));
            }
        }
    }
}

impl Draft {
    /// Adds a pool under this name or one like it, or finds the one that is the same; its name in our file.
    pub fn pool(&mut self, name: &str, fields: Object) -> String {
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' })
            .take(48)
            .collect();
        let plain = if plain.is_empty() || plain == "default" { "app".to_owned() } else { plain };
        let mut candidate = plain.clone();
        let mut number = 2;
        while let Some((_, known)) = self.pools.iter().find(|(known, _)| *known == candidate) {
            if *known == fields {
                return candidate;
            }
            candidate = format!("{plain}-{number}");
            number += 1;
        }
        self.pools.push((candidate.clone(), fields));
        candidate
    }

    /// A route.
    pub fn route(&mut self, fields: Object, place: &Place, name: &str) {
        self.routes.push(DraftRoute { fields, place: place.clone(), name: name.to_owned() });
    }

    /// The file. Where there is one pool it stands on top, and a route that says nothing goes without saying.
    pub fn finish(mut self, report: &mut Report) -> Object {
        let routes = self.distinct_routes(report);
        self.routes = routes;
        let has_route_for_all = self.routes.iter().any(|route| takes_all(&route.fields));
        if let [(name, fields)] = &mut self.pools[..] {
            let (name, fields) = (std::mem::take(name), std::mem::take(fields));
            self.pools.clear();
            for (field, value) in fields {
                self.top.entry(field).or_insert(value);
            }
            for route in &mut self.routes {
                if route.fields.get("pool") == Some(&json!(name)) {
                    route.fields.insert("pool".into(), json!("default"));
                }
            }
            self.hoist_the_only_route();
            if !has_route_for_all {
                put(&mut self.top, "unmatched", 404);
            }
            self.routes.retain(|route| !is_just_the_default(&route.fields));
        }
        self.move_up_what_all_say();
        let takes_all = self.routes.iter().any(|route| takes_all(&route.fields));
        if !self.top.contains_key("backends") {
            put(&mut self.top, "backends", json!([]));
            if !takes_all && !self.top.contains_key("unmatched") {
                put(&mut self.top, "unmatched", 404);
            }
        }
        if !self.pools.is_empty() {
            let pools: Object =
                self.pools.into_iter().map(|(name, fields)| (name, Json::Object(fields))).collect();
            put(&mut self.top, "pools", pools);
        }
        if !self.routes.is_empty() {
            let routes: Vec<Json> = self.routes.into_iter().map(|route| Json::Object(route.fields)).collect();
            put(&mut self.top, "routes", routes);
        }
        in_order(self.top)
    }

    /// What all routes say stands on top, and is not said again.
    fn move_up_what_all_say(&mut self) {
        const OF_BACKENDS: [&str; 7] =
            ["request_headers", "host_header", "timeouts", "limits", "retry", "circuit_breaker", "compress"];
        const OF_ALL: [&str; 3] = ["response_headers", "rate_limit", "error_pages"];
        for field in OF_BACKENDS.iter().chain(&OF_ALL) {
            let is_of_all = OF_ALL.contains(field);
            let counts = |route: &&mut DraftRoute| {
                is_of_all || route.fields.contains_key("pool") || route.fields.contains_key("pools")
            };
            let mut routes: Vec<&mut DraftRoute> = self.routes.iter_mut().filter(counts).collect();
            let Some(value) = routes.first().and_then(|route| route.fields.get(*field)).cloned() else {
                continue;
            };
            if routes.len() > 1 && routes.iter().all(|route| route.fields.get(*field) == Some(&value)) {
                routes.iter_mut().for_each(|route| drop(route.fields.remove(*field)));
                merge(&mut self.top, (*field).to_owned(), value);
            }
        }
        for route in &mut self.routes {
            let is_said = |field: &String, value: &Json| {
                matches!(value, Json::Object(_)) && self.top.get(field) == Some(value)
            };
            route.fields.retain(|field, value| field == "rate_limit" || !is_said(field, value));
        }
    }

    /// A route for all requests whose words may stand on top as well has them there.
    fn hoist_the_only_route(&mut self) {
        const ONLY_IN_ROUTES: [&str; 7] =
            ["allow", "deny", "basic_auth", "forward_auth", "strip_prefix", "add_prefix", "pools"];
        let [route] = &self.routes[..] else { return };
        let goes_up = takes_all(&route.fields)
            && route.fields.get("pool") == Some(&json!("default"))
            && !ONLY_IN_ROUTES.iter().any(|word| route.fields.contains_key(*word));
        if goes_up {
            for (field, value) in self.routes.remove(0).fields {
                if field != "pool" && field != "path" {
                    merge(&mut self.top, field, value);
                }
            }
        }
    }

    /// Without those that another one stands before for the same requests.
    fn distinct_routes(&mut self, report: &mut Report) -> Vec<DraftRoute> {
        let mut kept: Vec<DraftRoute> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for route in std::mem::take(&mut self.routes) {
            match known.get(&json!(conditions(&route.fields)).to_string()).map(|place| &kept[*place]) {
                Some(first) if first.fields == route.fields => {}
                Some(first) => {
                    let line = first.place.line;
                    let note = format!(
                        "line {line} is for the same requests and stays; every listener serves all routes"
                    );
                    report.note(&route.place, &route.name, Verdict::NotHere, note);
                }
                None => {
                    known.insert(json!(conditions(&route.fields)).to_string(), kept.len());
                    kept.push(route);
                }
            }
        }
        kept
    }
}

/// As people read a file: where it listens, who answers, who gets what, and then the rest.
fn in_order(object: Object) -> Object {
    const FIRST: [&str; 21] = [
        "listen",
        "tls",
        "algorithm",
        "hash_key",
        "sticky_cookie",
        "backends",
        "pools",
        "routes",
        "unmatched",
        "host",
        "path",
        "path_exact",
        "path_regex",
        "methods",
        "headers",
        "query",
        "pool",
        "redirect",
        "respond",
        "strip_prefix",
        "add_prefix",
    ];
    let place = |field: &String| FIRST.iter().position(|first| first == field).unwrap_or(FIRST.len());
    let mut fields: Vec<(String, Json)> = object.into_iter().collect();
    fields.sort_by_key(|(field, _)| place(field));
    let ordered = |value: Json| match value {
        Json::Object(inner) => Json::Object(in_order(inner)),
        Json::Array(list) => list
            .into_iter()
            .map(|it| match it {
                Json::Object(inner) => Json::Object(in_order(inner)),
                other => other,
            })
            .collect(),
        other => other,
    };
    fields.into_iter().map(|(field, value)| (field, ordered(value))).collect()
}

/// What a route asks of a request.
fn conditions(route: &Object) -> Vec<Option<Json>> {
    let path = route.get("path").cloned().filter(|path| path != "/");
    ["host", "path_exact", "path_regex", "methods", "headers", "query"]
        .iter()
        .map(|name| route.get(*name).cloned())
        .chain([path])
        .collect()
}

fn takes_all(route: &Object) -> bool {
    conditions(route).iter().all(Option::is_none)
}

fn is_just_the_default(route: &Object) -> bool {
    takes_all(route) && route.keys().all(|field| field == "pool" || field == "path")
}

/// Objects are laid over each other, all else is replaced.
pub fn merge(object: &mut Object, field: String, value: Json) {
    match (object.get_mut(&field), value) {
        (Some(Json::Object(there)), Json::Object(new)) => {
            new.into_iter().for_each(|(field, value)| merge(there, field, value));
        }
        (_, value) => drop(object.insert(field, value)),
    }
}
