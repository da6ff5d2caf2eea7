//! Converts Caddyfiles: sites, snippets and options. Caddy's JSON is first turned into an equivalent
//! Caddyfile.

mod handlers;
mod imports;
mod json;
mod matchers;
mod options;
mod proxy;
mod proxy_words;
mod site;
mod syntax;
mod values;

use std::path::Path;

use serde_json::json;

use super::directive::Directive;
use super::draft::{Draft, Object, push, put};
use super::listen::Listeners;
use super::order;
use super::report::{Report, Verdict};
use super::terms::Terms;
use values::with_variables;

/// The release whose defaults apply if none is named.
pub const RELEASE: &str = "2.11.7";

/// Converts the text of this file.
///
/// # Errors
/// What can't be read, with its line.
pub fn convert(text: &str, file: &Path, report: &mut Report) -> Result<Draft, String> {
    let name = file.display().to_string();
    let directives = match text.trim_start().starts_with('{')
        && text.trim_end().ends_with('}')
        && text.contains("\"apps\"")
    {
        true => json::read(text, &name, report)?,
        false => syntax::read(text, &name)?,
    };
    let (snippets, directives): (Vec<Directive>, Vec<Directive>) =
        directives.into_iter().partition(|it| it.name.starts_with('(') && it.name.ends_with(')'));
    let folder = file.parent().unwrap_or(Path::new("."));
    let directives = imports::with_imports(&directives, &snippets, folder, report)?;
    let mut draft = Draft::default();
    let mut listeners = Listeners::default();
    let mut ports = options::Ports::default();
    for options in directives.iter().filter(|it| it.name.is_empty()) {
        options::read(options, &mut draft, &mut ports, report);
    }
    for site in directives.iter().filter(|it| !it.name.is_empty()) {
        self::site(site, &ports, &mut draft, &mut listeners, report);
    }
    order::compare(&draft.routes, report);
    listeners.redirect_http |= listeners.has_tls();
    if !listeners.finish(&mut draft.top) {
        report.unsaid(
            "certificates by ACME",
            Verdict::NotHere,
            "certbot gets them, tls.certificates names them; without one the sites are served by plain HTTP",
        );
    }
    if !draft.top.contains_key("listen") {
        put(&mut draft.top, "listen", format!(":{}", ports.http));
    }
    unsaid(&mut draft, report);
    Ok(draft)
}

/// One address of a site.
struct Address {
    host: String,
    port: Option<u16>,
    scheme: Option<String>,
    path: String,
}

fn address(text: &str) -> Address {
    let (scheme, rest) =
        text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme.to_owned()), rest));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| (&rest[..at], &rest[at..]));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    Address {
        // Names of variables are case-sensitive.
        host: if host.contains('$') { host.to_owned() } else { host.to_ascii_lowercase() },
        port,
        scheme,
        path: path.trim_end_matches('*').trim_end_matches('/').to_owned(),
    }
}

fn site(
    site: &Directive,
    ports: &options::Ports,
    draft: &mut Draft,
    listeners: &mut Listeners,
    report: &mut Report,
) {
    let names: Vec<String> = std::iter::once(&site.name)
        .chain(&site.args)
        .flat_map(|word| word.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(with_variables)
        .collect();
    let tls = site.inside().iter().find(|it| it.name == "tls");
    let files = tls
        .filter(|it| it.args.len() == 2)
        .map(|it| json!({ "certificate": it.arg(0), "private_key": it.arg(1) }));
    let mut wider = Object::new();
    let (mut verdict, mut note) = (Verdict::Same, String::new());
    for name in &names {
        let address = address(name);
        let is_plain = address.scheme.as_deref() == Some("http")
            || address.port == Some(ports.http)
            || (address.host.is_empty() && tls.is_none() && address.scheme.is_none())
            || ports.auto_https_is_off;
        if is_plain {
            listeners.add(&format!(":{}", address.port.unwrap_or(ports.http)), false);
        } else {
            let port = address.port.unwrap_or(ports.https);
            listeners.add(&format!(":{port}"), true);
            listeners.add(&format!(":{}", ports.http), false);
            match &files {
                Some(pair) => listeners.certificate(pair.clone()),
                None => {
                    (verdict, note) = (
                        Verdict::NotHere,
                        "its certificate came by ACME; certbot gets one: LETS_ENCRYPT.md".to_owned(),
                    )
                }
            }
        }
        if !address.host.is_empty() {
            push(&mut wider, "host", address.host.as_str());
        }
        if !address.path.is_empty() {
            put(&mut wider, "path", address.path.as_str());
        }
    }
    // If one address has no host, the site is for all hosts.
    if names.iter().any(|name| address(name).host.is_empty()) {
        wider.remove("host");
    }
    report.note(&site.place, &site.text(), verdict, note);
    let before = draft.routes.len();
    let terms = Terms { fields: wider.clone(), ..Terms::default() };
    let routes = site::block(site.inside(), &terms, &Vec::new(), draft, report);
    draft.routes.extend(routes);
    let takes_rest = |route: &Object| {
        route.get("host") == wider.get("host")
            && !route
                .keys()
                .any(|key| key.starts_with("path") || key == "methods" || key == "headers" || key == "query")
    };
    if !draft.routes[before..].iter().any(|route| takes_rest(&route.fields)) {
        let mut route = wider;
        put(&mut route, "respond", json!({ "status": 200 }));
        draft.route(route, &site.place, "nothing matched");
        report.unsaid(
            &format!("{}: an empty 200 where nothing matches", site.name),
            Verdict::Same,
            "respond",
        );
    }
}

/// Sets Caddy's implicit defaults where ours differ.
fn unsaid(draft: &mut Draft, report: &mut Report) {
    if !draft.says("timeouts.connect") {
        put(&mut draft.top, "timeouts.connect", "3s");
        report.unsaid("dial_timeout 3s", Verdict::Same, "");
    }
    put(&mut draft.top, "timeouts.request", "60s");
    report.unsaid(
        "no response_header_timeout",
        Verdict::Differs,
        "60 s (timeouts.request), where it waits without end",
    );
    if !draft.says("timeouts.client_idle") {
        put(&mut draft.top, "timeouts.client_idle", "5m");
        report.unsaid("idle 5m", Verdict::Same, "");
    }
    put(&mut draft.top, "retry.max_retries", 0);
    report.unsaid("lb_retries 0", Verdict::Same, "retry.max_retries is 0; more hide a backend that fails");
    draft.top.entry("trusted_proxies").or_insert_with(|| json!([]));
    put(&mut draft.top, "unmatched", 404);
    report.unsaid("an empty 200 for what no site is for", Verdict::Differs, "404 (unmatched)");
    report.unsaid(
        "no active health check",
        Verdict::Differs,
        "backends are probed: a connection that opens (health_check.type tcp), unless one is said",
    );
    report.unsaid(
        "502 for a backend that can't be reached",
        Verdict::Differs,
        "503, and 504 for one that is too slow",
    );
    report.unsaid(
        "Accept-Encoding: gzip, where a client sends none",
        Verdict::Differs,
        "as the client sends it",
    );
    report.unsaid("Via: 1.1 Caddy", Verdict::Same, "Via: 1.1 loadbalancer");
}
