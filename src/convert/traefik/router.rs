//! Converts routers into routes.

use std::collections::HashMap;

use serde_json::json;

use super::chain::{Applied, applied};
use super::entry_points::EntryPoints;
use super::middlewares::Middleware;
use super::rule;
use super::services::Service;
use super::walk::{Part, differs, ignored, not_here, same};
use crate::convert::draft::{DraftRoute, Object, put};
use crate::convert::guard::{CLOSED, close};
use crate::convert::report::{Report, Verdict};
use crate::convert::tree::Node;

/// The routes of a router with their priority.
pub fn router(
    name: &str,
    router: &Part<'_>,
    services: &HashMap<String, Service>,
    middlewares: &HashMap<String, Middleware>,
    entry_points: &mut EntryPoints,
    report: &mut Report,
) -> Vec<(u64, DraftRoute)> {
    let text = |name: &str| router.node.get(name).map_or("", Node::text);
    let rule_text = text("rule");
    let priority = text("priority").parse().ok().filter(|it| *it > 0).unwrap_or(rule_text.len() as u64);
    let names = router.node.get("middlewares").map_or_else(Vec::new, Node::texts);
    let Applied { mut fields, to_https, is_closed, faults, is_late, .. } = applied(&names, middlewares);
    if !faults.is_empty() {
        // It may be one that restricts access; Traefik answers 404 then.
        close(&mut fields);
    }
    let points = router.node.get("entryPoints").map_or_else(Vec::new, Node::texts);
    let is_secure = router.node.get("tls").is_some_and(|tls| tls.text() != "false");
    entry_points.used(&points, is_secure, to_https);
    let service = services.get(text("service").split('@').next().unwrap_or_default());
    let found = rule::read(rule_text);
    router.each(report, |name, part, _| match name {
        "rule" => match &found {
            Ok(all) => match all.iter().find_map(|terms| terms.note) {
                Some(note) => differs(note),
                None => same(),
            },
            Err(why) => not_here(why),
        },
        "service" if service.is_none() && !to_https => match part.node.text() {
            "noop@internal" => same(),
            "api@internal" | "dashboard@internal" => differs("/lb-dashboard, for those in `pages`"),
            _ => not_here("this service is not there"),
        },
        "middlewares" if is_closed => not_here(CLOSED),
        "middlewares" if !faults.is_empty() => not_here(&format!("{}; {CLOSED}", faults.join(", "))),
        "middlewares" if is_late => differs("who may ask is looked at first, before a redirect"),
        "priority" => differs("the most specific route wins; where that matters it is said"),
        "ruleSyntax" | "observability" | "entryPoints" => ignored("every listener serves all routes"),
        "tls" if part.node.get("certResolver").is_some() => {
            differs("certificates are files that certbot gets: LETS_ENCRYPT.md")
        }
        "service" | "middlewares" | "tls" => same(),
        _ => None,
    });
    let (Ok(alternatives), false) = (found, to_https && service.is_none_or(|it| it.pools.is_empty())) else {
        return Vec::new();
    };
    let mut routes = Vec::new();
    for terms in alternatives {
        if terms.secure.is_some() || !terms.from.is_empty() || !terms.not_from.is_empty() {
            router.note(report, Verdict::NotHere, "a route for some clients only: allow and deny");
            continue;
        }
        let mut route = fields.clone();
        route.extend(terms.fields);
        let has_answer = route.contains_key("redirect");
        match service.map(|service| &service.pools[..]) {
            _ if has_answer => route.retain(|field, _| !ONLY_WITH_BACKENDS.contains(&field.as_str())),
            Some([(pool, _)]) => put(&mut route, "pool", pool.as_str()),
            Some(many @ [_, ..]) => {
                let shares: Object = many.iter().map(|(pool, share)| (pool.clone(), json!(share))).collect();
                put(&mut route, "pools", shares);
            }
            _ => continue,
        }
        if let Some(service) = service.filter(|_| !has_answer) {
            for (field, value) in &service.route {
                route.entry(field.as_str()).or_insert_with(|| value.clone());
            }
        }
        routes.push((
            priority,
            DraftRoute { fields: route, place: router.place(), name: format!("routers.{name}") },
        ));
    }
    routes
}

const ONLY_WITH_BACKENDS: [&str; 8] = [
    "strip_prefix",
    "add_prefix",
    "request_headers",
    "host_header",
    "retry",
    "compress",
    "limits",
    "timeouts",
];
