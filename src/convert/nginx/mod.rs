//! nginx: converts an `http` block, or a file that is included in one (as in `sites-enabled`).

mod access;
mod actions;
mod conditional;
mod location;
mod on_top;
mod scope;
mod server;
mod settings;
mod syntax;
mod tokens;
mod upstream;
mod values;
mod words;

use std::path::Path;

use serde_json::json;

use super::directive::Directive;
use super::draft::{Draft, put};
use super::listen::Listeners;
use super::report::{Report, Verdict};
use settings::Settings;
use upstream::Upstream;

/// The release whose defaults apply if none is named.
pub const RELEASE: &str = "1.31.3";
/// The first release that uses HTTP/1.1 to backends by default.
const HTTP_1_1_SINCE: [u64; 3] = [1, 29, 7];

/// Converts the text of this file.
///
/// # Errors
/// What can't be read, with its line.
pub fn convert(text: &str, file: &Path, release: &[u64], report: &mut Report) -> Result<Draft, String> {
    let read = syntax::read(text, file)?;
    for (place, directive) in &read.missing {
        let says_nothing = ["mime.types", "_params"].iter().any(|end| directive.ends_with(end));
        let verdict = if says_nothing { Verdict::Ignored } else { Verdict::NotHere };
        report.note(place, directive, verdict, "this file is not there");
    }
    let mut draft = Draft::default();
    let (outside, inside): (Vec<&Directive>, Vec<&Directive>) =
        match read.directives.iter().any(|it| it.name == "http") {
            true => read.directives.iter().partition(|it| it.name != "http"),
            false => (Vec::new(), Vec::new()),
        };
    for directive in outside {
        if !on_top::take(directive, &mut draft, report) {
            words::note(directive, report);
        }
    }
    match inside.first() {
        Some(_) => inside.iter().for_each(|http| self::http(http.inside(), &mut draft, report)),
        None => http(&read.directives, &mut draft, report),
    }
    unsaid(&read.directives, release, &mut draft, report);
    Ok(draft)
}

fn http(block: &[Directive], draft: &mut Draft, report: &mut Report) {
    let upstreams: Vec<Upstream> =
        block.iter().filter(|it| it.name == "upstream").map(|it| Upstream::read(it, report)).collect();
    let mut listeners = Listeners::default();
    let (settings, others) = Settings::default().below(block, report);
    let servers: Vec<&Directive> = others.iter().copied().filter(|it| it.name == "server").collect();
    let has_tls = |server: &&Directive| server::has_tls(server);
    // Redirecting all plain requests to https is a single setting here.
    let redirects = servers.iter().any(has_tls)
        && servers.iter().filter(|it| !has_tls(it)).all(|it| server::only_redirects(it))
        && servers.iter().any(|it| !has_tls(it));
    let served: Vec<&Directive> =
        servers.iter().copied().filter(|it| !(redirects && server::only_redirects(it))).collect();
    let says_default = |server: &&Directive| {
        server
            .inside()
            .iter()
            .any(|it| it.name == "listen" && it.args.iter().any(|arg| arg.starts_with("default")))
    };
    let default = served.iter().position(says_default).unwrap_or(0);
    let by_tls: Vec<&Directive> = servers.iter().copied().filter(has_tls).collect();
    let mut tls_hosts = conditional::names(&by_tls);
    if served.get(default).is_some_and(has_tls) {
        tls_hosts.push(String::new());
    }
    for directive in others {
        match directive.name.as_str() {
            "upstream" => {}
            "server" => match served.iter().position(|it| std::ptr::eq(*it, directive)) {
                Some(place) => {
                    let into = (&mut *draft, &mut listeners, &mut *report);
                    server::server(directive, &settings, (&upstreams, &tls_hosts), place == default, into);
                }
                None => redirect_only(directive, &mut listeners, report),
            },
            _ if on_top::take(directive, draft, report) => {}
            _ => words::note(directive, report),
        }
    }
    if !listeners.finish(&mut draft.top) {
        report.unsaid(
            "ssl_certificate",
            Verdict::NotHere,
            "a TLS listener without a certificate is left out",
        );
    }
}

fn redirect_only(block: &Directive, listeners: &mut Listeners, report: &mut Report) {
    listeners.redirect_http = true;
    report.note(&block.place, "server", Verdict::Differs, "tls.redirect_http, with 308, for all hosts");
    for directive in block.inside() {
        if directive.name == "listen" {
            let port = directive.arg(0).rsplit(':').next().unwrap_or("80");
            let family = if directive.arg(0).starts_with("[::]") { "[::]" } else { "0.0.0.0" };
            listeners.add(&format!("{family}:{port}"), false);
        }
        redirected(directive, report);
    }
}

fn redirected(directive: &Directive, report: &mut Report) {
    let (verdict, note) = match directive.name.as_str() {
        "listen" | "server_name" => (Verdict::Same, ""),
        _ if server::is_to_https(directive) || server::sends_to_https(directive.inside()) => {
            (Verdict::Same, "")
        }
        _ => (Verdict::Differs, "redirected as well"),
    };
    report.note(&directive.place, &directive.text(), verdict, note);
    directive.inside().iter().for_each(|inner| redirected(inner, report));
}

/// Sets nginx's implicit defaults where ours differ.
fn unsaid(directives: &[Directive], release: &[u64], draft: &mut Draft, report: &mut Report) {
    let says = |name: &str| says(directives, name);
    for (name, field, value) in [
        ("proxy_connect_timeout", "timeouts.connect", json!("60s")),
        ("client_header_timeout", "timeouts.client_header", json!("60s")),
        ("client_body_timeout", "timeouts.client_body", json!("60s")),
        ("send_timeout", "timeouts.client_write", json!("60s")),
        ("proxy_read_timeout", "timeouts.request", json!("60s")),
        ("client_max_body_size", "limits.max_body_bytes", json!("1MiB")),
    ] {
        // Some levels may set it and others not: the top level is for the latter.
        if draft.top.get(field).is_none() && !says_on_top(draft, field) {
            put(&mut draft.top, field, value.clone());
        }
        if !says(name) {
            let value = value.as_str().unwrap_or_default().trim_end_matches("iB").to_lowercase();
            report.unsaid(&format!("{name} {value}"), Verdict::Same, "");
        }
    }
    put(&mut draft.top, "retry.delay", "0s");
    put(&mut draft.top, "via", false);
    report.unsaid(
        "no probes",
        Verdict::Differs,
        "backends are probed: a connection that opens (health_check.type tcp)",
    );
    report.unsaid("max_fails=1 fail_timeout=10s", Verdict::Same, "circuit_breaker");
    report.unsaid(
        "proxy_buffering on",
        Verdict::Differs,
        "nothing is buffered: pieces are passed on as they come",
    );
    report.unsaid("proxy_redirect default", Verdict::Differs, "`Location` is passed on as it is");
    report.unsaid("Server: nginx", Verdict::Differs, "`Server` and `Date` are the backend's");
    report.unsaid(
        "no forwarded fields",
        Verdict::Differs,
        "X-Forwarded-For, -Proto, -Host, X-Real-IP and X-Request-ID are set",
    );
    report.unsaid(
        "underscores_in_headers off",
        Verdict::Differs,
        "names with _ are passed on, but for look-alikes of ours",
    );
    report.unsaid(
        "502 for a backend that can't be reached",
        Verdict::Differs,
        "503, and 504 for one that is too slow",
    );
    if release < &HTTP_1_1_SINCE[..] && !says("proxy_http_version") {
        report.unsaid("proxy_http_version 1.0", Verdict::Differs, "1.1, with connections kept");
    }
}

fn says_on_top(draft: &Draft, field: &str) -> bool {
    let (first, second) = field.split_once('.').unwrap_or((field, ""));
    draft.top.get(first).is_some_and(|it| it.get(second).is_some())
}

fn says(directives: &[Directive], name: &str) -> bool {
    directives.iter().any(|it| it.name == name || says(it.inside(), name))
}
