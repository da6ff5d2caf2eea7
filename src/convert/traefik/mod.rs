//! Converts Traefik's YAML, static and dynamic, in one file or in the files that the static one names.

mod chain;
mod defaults;
mod entry_points;
mod middlewares;
mod router;
mod rule;
mod services;
mod walk;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::draft::{Draft, DraftRoute, put};
use super::listen::Listeners;
use super::order;
use super::report::{Remark, Report, Verdict};
use super::text::{MOST_BYTES, read_file};
use super::tree::{self, Node, Value};
use entry_points::EntryPoints;
use walk::{Part, differs, ignored, not_here, same, told};

/// The release whose defaults apply if none is named.
pub const RELEASE: &str = "3.7.15";

/// Converts the text of this file.
///
/// # Errors
/// What can't be read, with its line.
pub fn convert(text: &str, file: &Path, report: &mut Report) -> Result<Draft, String> {
    let name = file.display().to_string();
    let mut files = vec![(name.clone(), tree::read(text, &name)?)];
    let dynamic = files[0].1.iter().find_map(|node| node.at("providers.file")).cloned();
    if let Some(provider) = dynamic {
        files.extend(named_by(&provider, file.parent().unwrap_or(Path::new(".")), &name, report)?);
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
                routes.extend(router::router(
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
    defaults::unsaid(&mut draft, report);
    Ok(draft)
}

/// Reads the dynamic files that the static one names.
fn named_by(
    provider: &Node,
    folder: &Path,
    file: &str,
    report: &mut Report,
) -> Result<Vec<(String, Vec<Node>)>, String> {
    let mut paths = Vec::new();
    if let Some(name) = provider.get("filename") {
        let path = folder.join(name.text());
        if !path.is_file() {
            let part = Part { file, path: "providers.file.filename".to_owned(), node: name };
            part.note(report, Verdict::NotHere, "this file is not there");
        }
        paths.push(path);
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
        let text = read_file(path)?;
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
) -> Option<Remark> {
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
