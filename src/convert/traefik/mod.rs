//! Traefik's YAML, static and dynamic, in one file or in what the static one names.

mod entry_points;
mod middlewares;
mod rule;
mod services;
mod walk;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::draft::{Draft, DraftRoute, Object, put};
use super::listen::Listeners;
use super::order;
use super::report::{Report, Verdict};
use super::text::MOST_BYTES;
use super::tree::{self, Node, Value};
use entry_points::EntryPoints;
use middlewares::Middleware;
use services::Service;
use walk::{Part, Told, differs, ignored, not_here, same, told};

/// The release whose defaults are meant where nobody names one.
pub const RELEASE: &str = "3.7.15";

/// Reads this text of this file.
///
/// # Errors
/// What can't be read, with its line.
pub fn convert(text: &str, file: &Path, report: &mut Report) -> Result<Draft, String> {
    let name = file.display().to_string();
    let mut files = vec![(name.clone(), tree::read(text, &name)?)];
    let dynamic = files[0].1.iter().find_map(|node| node.at("providers.file")).cloned();
    if let Some(provider) = dynamic {
        files.extend(named_by(&provider, file.parent().unwrap_or(Path::new(".")))?);
    }
    let roots: Vec<Part<'_>> = files
        .iter()
        .flat_map(|(file, nodes)| nodes.iter().map(|node| Part { file, path: String::new(), node }))
        .collect();
    if !roots.iter().any(|root| matches!(root.node.value, Value::Map(_))) {
        return Err(format!("{name}: no YAML map"));
    }
    let mut draft = Draft::default();
    let mut entry_points = EntryPoints::default();
    let mut listeners = Listeners::default();
    for root in &roots {
        root.each(report, |name, part, report| {
            top(name, part, &mut entry_points, &mut draft, &mut listeners, report)
        });
    }
    let mut services = HashMap::new();
    let mut middlewares = HashMap::new();
    for root in &roots {
        if let Some(part) = root.get("http").and_then(|http| http.get("services")) {
            services.extend(services::read(&part, &mut draft, report));
        }
        if let Some(part) = root.get("http").and_then(|http| http.get("middlewares")) {
            middlewares.extend(middlewares::read(&part, report));
        }
    }
    let mut routes: Vec<(u64, DraftRoute)> = Vec::new();
    for root in &roots {
        if let Some(routers) = root.get("http").and_then(|http| http.get("routers")) {
            for (name, router) in routers.entries() {
                routes.extend(self::router(
                    name,
                    &router,
                    &services,
                    &middlewares,
                    &mut entry_points,
                    report,
                ));
            }
        }
    }
    routes.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    draft.routes = routes.into_iter().map(|(_, route)| route).collect();
    order::compare(&draft.routes, report);
    entry_points.finish(&mut listeners, report);
    if !listeners.finish(&mut draft.top) {
        report.unsaid(
            "certificates",
            Verdict::NotHere,
            "a TLS listener without a certificate is left out; certbot gets one",
        );
    }
    unsaid(&mut draft, report);
    Ok(draft)
}

/// The dynamic files that the static one names.
fn named_by(provider: &Node, folder: &Path) -> Result<Vec<(String, Vec<Node>)>, String> {
    let mut paths = Vec::new();
    if let Some(name) = provider.get("filename") {
        paths.push(folder.join(name.text()));
    }
    if let Some(name) = provider.get("directory") {
        let entries = fs::read_dir(folder.join(name.text())).into_iter().flatten().flatten();
        let is_yaml =
            |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "yml" || end == "yaml");
        paths.extend(entries.map(|entry| entry.path()).filter(is_yaml));
        paths.sort();
    }
    let mut all = Vec::new();
    let mut bytes = 0;
    for path in paths.iter().filter(|path| path.is_file()) {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|why| format!("{name}: {why}"))?;
        bytes += text.len() as u64;
        if bytes > MOST_BYTES {
            return Err(format!("{name}: all together more than {MOST_BYTES} bytes"));
        }
        all.push((name.clone(), tree::read(&text, &name)?));
    }
    Ok(all)
}

fn top(
    name: &str,
    part: &Part<'_>,
    entry_points: &mut EntryPoints,
    draft: &mut Draft,
    listeners: &mut Listeners,
    report: &mut Report,
) -> Option<Told> {
    match name {
        "entryPoints" => {
            entry_points.read(part, draft, report);
            told()
        }
        "http" => {
            part.each(report, |name, _, _| match name {
                "routers" | "services" | "middlewares" => told(),
                "serversTransports" => not_here("timeouts are on top, and `ca` is a backend's"),
                _ => None,
            });
            told()
        }
        "tls" => {
            part.each(report, |name, part, report| match name {
                "certificates" => {
                    for pair in part.node.items() {
                        let text = |name: &str| pair.get(name).map_or("", Node::text);
                        listeners.certificate(
                            json!({ "certificate": text("certFile"), "private_key": text("keyFile") }),
                        );
                    }
                    same()
                }
                "stores" => match part.node.at("default.defaultCertificate") {
                    Some(pair) => {
                        let text = |name: &str| pair.get(name).map_or("", Node::text);
                        listeners.certificate(
                            json!({ "certificate": text("certFile"), "private_key": text("keyFile") }),
                        );
                        same()
                    }
                    None => not_here("certificates are found by their names"),
                },
                "options" => {
                    if let Some(lowest) = part.node.at("default.minVersion").map(Node::text) {
                        put(
                            &mut draft.top,
                            "tls.min_version",
                            if lowest == "VersionTLS13" { "1.3" } else { "1.2" },
                        );
                    }
                    let _ = report;
                    differs("the lowest version; what is offered is safe by itself")
                }
                _ => None,
            });
            told()
        }
        "providers" => {
            part.each(report, |name, _, _| match name {
                "file" => same(),
                "providersThrottleDuration" => ignored("the file is looked at each second"),
                _ => not_here("backends by DNS (addresses), or a program that writes the file"),
            });
            told()
        }
        "serversTransport" => {
            if let Some(dial) = part
                .node
                .at("forwardingTimeouts.dialTimeout")
                .and_then(|it| super::quantity::time(it.text(), 1e3))
            {
                put(&mut draft.top, "timeouts.connect", super::quantity::written(dial));
            }
            if let Some(wait) = part
                .node
                .at("forwardingTimeouts.responseHeaderTimeout")
                .and_then(|it| super::quantity::time(it.text(), 1e3))
            {
                put(&mut draft.top, "timeouts.request", super::quantity::written(wait));
            }
            differs("timeouts; certificates of backends are always checked")
        }
        "accessLog" => {
            match part.node.get("filePath").map(Node::text) {
                Some(file) => put(&mut draft.top, "access_log", json!({ "format": "json", "file": file })),
                None => put(&mut draft.top, "access_log", true),
            }
            differs("logfmt, json or combined (LOGS.md)")
        }
        "log" => ignored("event_log (LOGS.md)"),
        "api" => differs("/lb-dashboard, for those in `pages`, and the admin listener"),
        "ping" => differs("/lb-health"),
        "metrics" => differs("/lb-metrics"),
        "global" | "core" | "experimental" | "hostResolver" | "spiffe" | "ocsp" => ignored("Traefik's own"),
        "certificatesResolvers" => not_here("certbot gets certificates, and they are read again when it has"),
        "tracing" => not_here("X-Request-ID is in every log"),
        "tcp" | "udp" => not_here("HTTP only"),
        _ => None,
    }
}

/// The routes of a router with their priority.
fn router(
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
    let mut fields = Object::new();
    let mut to_https = false;
    let names = router.node.get("middlewares").map_or_else(Vec::new, Node::texts);
    let unknown = apply(&names, middlewares, &mut fields, &mut to_https, 0);
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
        "middlewares" if !unknown.is_empty() => not_here(&format!("not there: {}", unknown.join(", "))),
        "priority" => differs("the most specific route wins; where that matters it is said"),
        "ruleSyntax" | "observability" | "entryPoints" => ignored("every listener serves all routes"),
        "tls" if part.node.get("certResolver").is_some() => {
            differs("certificates are files; certbot gets them")
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

/// Lays the named ones over the route, the last under the first. Those that are not there are returned.
fn apply(
    names: &[&str],
    all: &HashMap<String, Middleware>,
    fields: &mut Object,
    to_https: &mut bool,
    depth: usize,
) -> Vec<String> {
    let mut unknown = Vec::new();
    for name in names {
        let Some(middleware) = all.get(name.split('@').next().unwrap_or_default()).filter(|_| depth < 8)
        else {
            unknown.push((*name).to_owned());
            continue;
        };
        *to_https |= middleware.to_https;
        for (field, value) in &middleware.fields {
            super::draft::merge(fields, field.clone(), value.clone());
        }
        let chain: Vec<&str> = middleware.chain.iter().map(String::as_str).collect();
        unknown.extend(apply(&chain, all, fields, to_https, depth + 1));
    }
    unknown
}

/// Traefik's defaults that would otherwise be ours.
fn unsaid(draft: &mut Draft, report: &mut Report) {
    let says = |draft: &Draft, first: &str, second: &str| {
        draft.top.get(first).is_some_and(|it| it.get(second).is_some())
    };
    for (field, value, name) in [
        ("timeouts.connect", "30s", "dialTimeout 30s"),
        ("timeouts.client_idle", "180s", "idleTimeout 180s"),
        ("timeouts.client_body", "60s", "readTimeout 60s"),
    ] {
        let (first, second) = field.split_once('.').unwrap_or((field, ""));
        if !says(draft, first, second) {
            put(&mut draft.top, field, value);
            report.unsaid(name, Verdict::Same, "");
        }
    }
    if !says(draft, "timeouts", "request") {
        put(&mut draft.top, "timeouts.request", "60s");
        report.unsaid(
            "responseHeaderTimeout 0s",
            Verdict::Differs,
            "60 s (timeouts.request), where it waits without end",
        );
    }
    if !says(draft, "retry", "max_retries") {
        put(&mut draft.top, "retry.max_retries", 0);
        report.unsaid("no retries", Verdict::Same, "retry.max_retries is 0; more hide a backend that fails");
    }
    put(&mut draft.top, "circuit_breaker.enabled", false);
    report.unsaid(
        "no circuit breaker",
        Verdict::Same,
        "circuit_breaker.enabled is false; on, it saves requests from backends that fail",
    );
    put(&mut draft.top, "via", false);
    draft.top.entry("trusted_proxies").or_insert_with(|| json!([]));
    put(&mut draft.top, "unmatched", 404);
    report.unsaid(
        "no health check",
        Verdict::Differs,
        "backends are probed: a connection that opens (health_check.type tcp), unless one is said",
    );
    report.unsaid("404 for what no router takes", Verdict::Same, "unmatched");
    report.unsaid(
        "502 for a backend that can't be reached",
        Verdict::Differs,
        "503, and 504 for one that is too slow",
    );
    report.unsaid(
        "X-Forwarded-Port, X-Forwarded-Server",
        Verdict::Differs,
        "X-Forwarded-For, -Proto, -Host, X-Real-IP and X-Request-ID are set",
    );
}
