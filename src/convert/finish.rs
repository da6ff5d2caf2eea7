//! Turns a draft into our file, without redundant parts.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::config::{Overrides, parse};

use super::draft::{Draft, DraftRoute, Object, merge, put};
use super::report::{Report, Verdict};
use super::text::MOST_ROUTES;

impl Draft {
    /// The finished file. A single pool moves to the top level, and routes without an effect are dropped.
    pub fn finish(mut self, report: &mut Report) -> Object {
        if self.routes.len() > MOST_ROUTES {
            let note = format!("the first {MOST_ROUTES} of {} routes", self.routes.len());
            report.unsaid("routes", Verdict::NotHere, note);
            self.routes.truncate(MOST_ROUTES);
        }
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

    /// Moves settings that all routes share to the top level.
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

    /// If the only route matches all requests, moves its settings to the top level where possible.
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

    /// Drops routes whose conditions equal those of an earlier route.
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

/// Sorts fields for readers: listeners, backends, routes, then the rest.
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

/// The conditions of a route.
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

/// Removes header rules with names that our reader refuses; returns the fields and names.
pub fn without_odd_names(config: &mut Json) -> Vec<(String, String)> {
    let mut gone = Vec::new();
    match config {
        Json::Array(list) => list.iter_mut().for_each(|it| gone.extend(without_odd_names(it))),
        Json::Object(fields) => {
            for (field, value) in fields.iter_mut() {
                match field.as_str() {
                    "request_headers" | "response_headers" => {
                        gone.extend(odd_names(field, value).into_iter().map(|name| (field.clone(), name)));
                    }
                    _ => gone.extend(without_odd_names(value)),
                }
            }
            fields.retain(|field, value| {
                !(field.ends_with("_headers") && value.as_object().is_some_and(Object::is_empty))
            });
        }
        _ => {}
    }
    gone
}

fn odd_names(field: &str, rules: &mut Json) -> Vec<String> {
    let mut gone = Vec::new();
    let is_odd = |how: &str, name: &str| {
        let rule = if how == "remove" { json!({ how: [name] }) } else { json!({ how: { name: "x" } }) };
        parse(&json!({ field: rule }).to_string(), &Overrides::default()).is_err()
    };
    let Some(rules) = rules.as_object_mut() else { return gone };
    for (how, names) in rules.iter_mut() {
        let mut keeps = |name: &str| {
            let odd = is_odd(how, name);
            if odd {
                gone.push(name.to_owned());
            }
            !odd
        };
        match names {
            Json::Array(list) => list.retain(|name| name.as_str().is_some_and(&mut keeps)),
            Json::Object(values) => values.retain(|name, _| keeps(name)),
            _ => {}
        }
    }
    rules.retain(|_, names| {
        names.as_array().is_none_or(|it| !it.is_empty()) && names.as_object().is_none_or(|it| !it.is_empty())
    });
    gone
}
